//! How the pages look: one style, one script, an icon and perhaps a logo, each under a name that changes with its
//! content, so that browsers keep it for ever.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use data_encoding::HEXLOWER;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderName, HeaderValue};

use super::colour::Colour;
use crate::base::http::page;
use crate::base::settings::Settings;

/// A page with its logo must not weigh more than a bad line bears.
const LOGO_BYTES: u64 = 32 * 1024;

/// A file that pages ask for.
pub(crate) struct Asset {
    pub(crate) name: String,
    content_type: &'static str,
    bytes: Bytes,
}

impl Asset {
    fn new(stem: &str, ending: &str, content_type: &'static str, bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, &bytes);
        let mut hash = HEXLOWER.encode(digest.as_ref());
        hash.truncate(12);
        Self {
            name: format!("{stem}-{hash}.{ending}"),
            content_type,
            bytes,
        }
    }

    pub(super) fn respond(&self) -> Response {
        let headers: [(HeaderName, &str); 4] = [
            (CONTENT_TYPE, self.content_type),
            (CACHE_CONTROL, "public, max-age=31536000, immutable"),
            // A picture can be opened by itself, and an SVG is a document.
            (
                http::header::CONTENT_SECURITY_POLICY,
                "default-src 'none'; style-src 'unsafe-inline'; sandbox",
            ),
            (
                HeaderName::from_static("cross-origin-resource-policy"),
                "same-origin",
            ),
        ];
        (headers, self.bytes.clone()).into_response()
    }
}

/// What every page has in common.
pub(crate) struct Look {
    pub(crate) name: String,
    pub(crate) style: Asset,
    pub(crate) script: Asset,
    pub(crate) icon: Asset,
    pub(crate) logo: Option<Asset>,
    pub(crate) policy: HeaderValue,
}

impl Look {
    /// From the settings; what cannot be is told with the setting's name.
    pub(crate) fn of(settings: &Settings) -> Result<Self, (&'static str, String)> {
        let branding = &settings.branding;
        let colour = Colour::parse(&branding.colour).ok_or_else(|| {
            (
                "branding.colour",
                format!("`{}` is no colour such as #3b5bdb", branding.colour),
            )
        })?;
        let style = format!(
            "{}{}",
            colour.style(),
            include_str!("../../../assets/pages/page.css")
        );
        let icon = include_str!("../../../assets/pages/icon.svg").replace("#000000", &colour.to_string());
        Ok(Self {
            name: branding.name.clone(),
            style: Asset::new("style", "css", "text/css; charset=utf-8", style),
            script: Asset::new(
                "script",
                "js",
                "text/javascript; charset=utf-8",
                include_str!("../../../assets/pages/page.js"),
            ),
            icon: Asset::new("icon", "svg", "image/svg+xml", icon),
            logo: branding.logo.as_deref().map(logo).transpose()?,
            policy: page::policy(&settings.pages.return_origins),
        })
    }

    /// The file of this name.
    pub(super) fn asset(&self, name: &str) -> Option<&Asset> {
        [&self.style, &self.script, &self.icon]
            .into_iter()
            .chain(&self.logo)
            .find(|asset| asset.name == name)
    }
}

fn logo(path: &str) -> Result<Asset, (&'static str, String)> {
    let wrong = |problem: String| ("branding.logo", format!("{path}: {problem}"));
    let ending = path
        .rsplit_once('.')
        .map_or("", |(_, ending)| ending)
        .to_ascii_lowercase();
    let content_type = match ending.as_str() {
        "svg" => "image/svg+xml",
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        _ => return Err(wrong("must end in .svg, .png, .jpg or .webp".to_owned())),
    };
    let length = std::fs::metadata(path)
        .map_err(|error| wrong(error.to_string()))?
        .len();
    if length > LOGO_BYTES {
        return Err(wrong(format!(
            "has {length} bytes where {LOGO_BYTES} are the most"
        )));
    }
    let bytes = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    Ok(Asset::new("logo", &ending, content_type, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_file_changes_with_its_content() {
        let mut settings = Settings::default();
        let one = Look::of(&settings).unwrap();
        assert_eq!(one.style.name, Look::of(&settings).unwrap().style.name);
        settings.branding.colour = "#123456".to_owned();
        let other = Look::of(&settings).unwrap();
        assert_ne!(one.style.name, other.style.name);
        assert_eq!(one.script.name, other.script.name);
        assert!(other.asset(&other.style.name).is_some() && other.asset(&one.style.name).is_none());
    }

    #[test]
    fn a_logo_must_be_a_small_picture() {
        let folder = tempfile::tempdir().unwrap();
        let with = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            let mut settings = Settings::default();
            settings.branding.logo = Some(path.to_str().unwrap().to_owned());
            Look::of(&settings)
        };
        assert!(
            with("logo.svg", b"<svg/>")
                .unwrap()
                .logo
                .unwrap()
                .name
                .ends_with(".svg")
        );
        assert!(with("logo.html", b"<p>").is_err());
        assert!(with("logo.png", &[0; 40_000]).is_err());
    }
}
