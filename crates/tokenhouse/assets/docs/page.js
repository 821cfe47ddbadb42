// Starts Swagger UI. A file of its own, so that the page needs no inline script.
"use strict";

// The page is at <mount>/docs and the description beside it, wherever the routes are mounted.
const description = new URL("openapi.json", document.baseURI);
const mount = new URL(".", description);

// The server writes addresses as it sees its own mount. A reverse proxy in front may strip a prefix that only
// the browser knows, so the page takes its own address for it.
function remount(response) {
  if (response.url !== description.href || !response.ok) return response;
  const openapi = JSON.parse(response.text);
  const served = (openapi.servers?.[0]?.url ?? "").replace(/\/$/, "");
  openapi.servers = [{ url: mount.pathname.replace(/\/$/, "") || "/" }];
  for (const scheme of Object.values(openapi.components?.securitySchemes ?? {})) {
    for (const flow of Object.values(scheme.flows ?? {})) {
      if (!flow.tokenUrl?.startsWith(served + "/")) continue;
      flow.tokenUrl = new URL(flow.tokenUrl.slice(served.length + 1), mount).href;
    }
  }
  response.text = JSON.stringify(openapi);
  return response;
}

SwaggerUIBundle({
  dom_id: "#page",
  url: description.href,
  responseInterceptor: remount,
  // The default asks a host on the internet whether the description is valid.
  validatorUrl: null,
  // A token in the browser's storage would outlive the page and be there for any script of this origin.
  persistAuthorization: false,
  deepLinking: true,
  displayRequestDuration: true,
  defaultModelsExpandDepth: 0,
});
