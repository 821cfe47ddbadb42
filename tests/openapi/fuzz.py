"""Lets Schemathesis ask as somebody who is logged in: each case gets an account of its own, as some delete theirs."""

import itertools
import json
import urllib.request

import schemathesis

numbers = itertools.count()


@schemathesis.auth(refresh_interval=None)
class LoggedIn:
    def get(self, case, context):
        body = {"email": f"fuzz{next(numbers)}@example.org", "password": "correct horse battery staple"}
        request = urllib.request.Request(
            case.operation.base_url.rstrip("/") + "/auth/signup",
            data=json.dumps(body).encode(),
            headers={"content-type": "application/json"},
        )
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)["access_token"]

    def set(self, case, data, context):
        case.headers["Authorization"] = f"Bearer {data}"
