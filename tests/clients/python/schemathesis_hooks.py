"""Made-up requests ask for the model that is there: any other name ends every one of them with 404."""

import schemathesis


@schemathesis.hook
def map_body(context, body):
    if isinstance(body, dict) and isinstance(body.get("model"), str) and not body["model"].startswith("no-"):
        body["model"] = "tales"
    return body
