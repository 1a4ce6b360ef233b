"""Judges answers by botocore's service models.

Reads a JSON object a line from stdin: {service, operation, status, headers,
body}, body in base64. Writes one for each: {service, operation, outcome,
error}, the outcome being the status or an error's code; no error means that
the model knows the answer as it stands. botocore's parsers drop what they do
not know in silence, so the raw body is looked at too.
"""

import base64
import json
import re
import sys
import xml.etree.ElementTree as ElementTree

import botocore.parsers
import botocore.session
from botocore.awsrequest import HeadersDict
from botocore.validate import ParamValidator

# Members that AWS's API reference has and the model of 2026-05-20 has not, by
# shape.
NEWER = {
    "GetAgentRuntimeResponse": {"allowedPorts", "capacityProviderConfiguration", "platformVersion"},
}

# Where the model is wrong. GetParameterHistory answers "Labels": [] in AWS's own
# example (docs.aws.amazon.com/cli/latest/reference/ssm/get-parameter-history.html).
WRONG_IN_MODEL = [re.compile(r"Parameters\[\d+\]\.Labels, value: 0, valid min length: 1")]

# Shapes whose patterns are wrong: no ARN begins with "arn::", and AgentCore's
# have been runtime/<id> since it was released. The third is an assumption
# (docs/local-cloud.md): an endpoint's id is its name.
WRONG_PATTERNS = {"AgentRuntimeArn", "AgentRuntimeEndpointArn", "AgentRuntimeEndpointId"}

# What the model does not list: IAM answers "Policy", and so do the examples of
# the AWS CLI's reference (github.com/awsdocs/iam-user-guide/issues/82).
WRONG_VALUES = {("PermissionsBoundaryAttachmentType", "Policy")}

# Errors that every operation of a service may answer, whatever its model lists:
# AWS's "Common Errors" pages.
COMMON = {
    "sts": {"AccessDenied", "InvalidClientTokenId", "SignatureDoesNotMatch", "ValidationError"},
    "iam": {"AccessDenied", "ValidationError"},
    "ssm": {"ValidationException"},
    "ecr": set(),
    "logs": set(),
    "bedrock-agentcore-control": set(),
    "bedrock-agentcore": set(),
}


def unknown(shape, raw, path):
    """Yields what of a decoded JSON body the shape does not know."""
    if getattr(shape, "is_document_type", False):
        return  # anything goes
    if shape.type_name == "structure" and isinstance(raw, dict):
        members = {
            m.serialization.get("name", name): m
            for name, m in shape.members.items()
            if m.serialization.get("location") is None
        }
        for name, value in raw.items():
            if name in members:
                yield from unknown(members[name], value, f"{path}.{name}")
            elif name not in NEWER.get(shape.name, ()):
                yield f"{path}.{name} is unknown to {shape.name}"
    elif shape.type_name == "list" and isinstance(raw, list):
        for i, item in enumerate(raw):
            yield from unknown(shape.member, item, f"{path}[{i}]")
    elif shape.type_name == "map" and isinstance(raw, dict):
        for key, value in raw.items():
            yield from unknown(shape.value, value, f"{path}.{key}")
    elif shape.type_name == "timestamp":
        written = str if shape.serialization.get("timestampFormat") == "iso8601" else (int, float)
        if not isinstance(raw, written) or isinstance(raw, bool):
            yield f"{path} is {raw!r}, no timestamp of this protocol"
    elif shape.type_name not in SCALARS or not isinstance(raw, SCALARS[shape.type_name]) or raw is None:
        yield f"{path} is {raw!r}, no {shape.type_name}"


SCALARS = {
    "string": str,
    "blob": str,
    "boolean": bool,
    "integer": int,
    "long": int,
    "float": (int, float),
    "double": (int, float),
}


def unknown_xml(shape, node, path):
    """Yields what of an element of the Query protocol the shape does not know."""
    if shape.type_name == "structure":
        members = {m.serialization.get("name", name): m for name, m in shape.members.items()}
        for child in node:
            name = child.tag.split("}")[-1]
            if name in members:
                yield from unknown_xml(members[name], child, f"{path}.{name}")
            else:
                yield f"{path}.{name} is unknown to {shape.name}"
    elif shape.type_name == "list":
        for child in node:
            if child.tag.split("}")[-1] != "member":
                yield f"{path} has an item named {child.tag}"
            yield from unknown_xml(shape.member, child, f"{path}[]")


def listed(shape, value):
    """Says whether an enumeration has a value."""
    return value in shape.enum or (shape.name, value) in WRONG_VALUES


def strings(shape, value, path):
    """Yields strings of a parsed answer that an enumeration or a pattern has not."""
    if shape.type_name == "structure":
        for name, member in value.items():
            if name in shape.members:
                yield from strings(shape.members[name], member, f"{path}.{name}")
    elif shape.type_name == "list":
        for i, item in enumerate(value):
            yield from strings(shape.member, item, f"{path}[{i}]")
    elif shape.type_name == "string" and shape.enum and not listed(shape, value):
        yield f"{path} is {value!r}, not among {', '.join(shape.enum)}"
    elif shape.type_name == "string" and not fits(shape, value):
        yield f"{path} is {value!r}, which does not match {shape.metadata['pattern']}"


def fits(shape, value):
    """Says whether a string matches its shape's pattern, if Python can read it."""
    if shape.name in WRONG_PATTERNS:
        return True
    try:
        return re.fullmatch(shape.metadata.get("pattern", ".*"), value, re.DOTALL) is not None
    except re.error:
        return True


def raw_unknown(model, protocol, body):
    """Compares the raw body with the output shape."""
    shape, name = model.output_shape, model.name
    if protocol == "query":
        root = ElementTree.fromstring(body)
        if root.tag.split("}")[0][1:] != model.service_model.metadata["xmlNamespace"]:
            yield f"the namespace is {root.tag}"
        result = [e for e in root if e.tag.endswith(f"}}{name}Result")]
        if shape is None or not result:
            if shape is not None and shape.members:
                yield f"there is no {name}Result"
            return
        yield from unknown_xml(shape, result[0], name)
    elif shape is not None and not model.has_streaming_output:
        raw = json.loads(body or b"{}")
        if shape.serialization.get("payload"):
            shape = shape.members[shape.serialization["payload"]]
        yield from unknown(shape, raw, name)
    elif shape is None and body not in (b"", b"{}"):
        yield f"{name} has no output, and the body is {body!r}"


def judge(service, model, response):
    """Yields what is wrong with one answer."""
    protocol = model.service_model.metadata["protocol"]
    if "x-amzn-requestid" not in response["headers"]:
        yield "there is no request id"
    if response["status_code"] >= 300:
        yield from judge_error(service, model, protocol, response)
        return
    expected = model.http.get("responseCode", 200)
    if response["status_code"] != expected:
        yield f"the status is {response['status_code']}, the model's {expected}"
    yield from raw_unknown(model, protocol, response["body"])
    if model.output_shape is not None:
        yield from judge_members(model.output_shape, protocol, response)


def judge_members(shape, protocol, response):
    """Yields what is missing from an answer as botocore's parser reads it."""
    parsed = botocore.parsers.create_parser(protocol).parse(response, shape)
    for added in ("ResponseMetadata", "Error"):
        parsed.pop(added, None)
    for problem in ParamValidator().validate(parsed, shape).generate_report().splitlines():
        if not any(known.search(problem) for known in WRONG_IN_MODEL):
            yield problem
    yield from strings(shape, parsed, shape.name)


def judge_error(service, model, protocol, response):
    """Yields what is wrong with an error: its code, status and members."""
    declared = {}
    for shape in model.error_shapes:
        declared[shape.error_code or shape.name] = declared[shape.name] = shape
    code = outcome(model, response)
    if code not in declared:
        if code not in COMMON[service]:
            yield f"the error {code!r} is not declared: {', '.join(sorted(declared))}"
        return
    shape = declared[code]
    expected = shape.metadata.get("error", {}).get("httpStatusCode", response["status_code"])
    if expected != response["status_code"]:
        yield f"{code} comes with {response['status_code']}, the model says {expected}"
    yield from judge_members(shape, protocol, response)


def outcome(model, response):
    """Returns the status of an answer, or the code of an error."""
    if response["status_code"] < 300:
        return response["status_code"]
    parser = botocore.parsers.create_parser(model.service_model.metadata["protocol"])
    return parser.parse(response, model.output_shape).get("Error", {}).get("Code")


def main():
    session = botocore.session.get_session()
    loaded = {}

    def models(service, operation):
        """Finds an operation; AgentCore is two services in botocore."""
        names = ["bedrock-agentcore-control", "bedrock-agentcore"] if service == "bedrock-agentcore" else [service]
        for name in names:
            model = loaded.setdefault(name, session.get_service_model(name))
            if operation in model.operation_names:
                return name, model.operation_model(operation)
        raise KeyError(f"{service} has no operation {operation}")

    for line in sys.stdin:
        call = json.loads(line)
        said = {"service": call["service"], "operation": call["operation"]}
        try:
            service, model = models(call["service"], call["operation"])
            response = {
                "status_code": call["status"],
                "headers": HeadersDict(call["headers"]),
                "body": base64.b64decode(call["body"]),
            }
            said["outcome"] = str(outcome(model, response))
            wrong = list(judge(service, model, response))
        except (KeyError, ValueError, ElementTree.ParseError, botocore.parsers.ResponseParserError) as err:
            wrong = [f"{type(err).__name__}: {err}"]
        said["error"] = "; ".join(wrong)
        print(json.dumps(said))


if __name__ == "__main__":
    main()
