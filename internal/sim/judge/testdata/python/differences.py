"""Makes the calls in which moto and AWS differ, and says what it saw.

Where the cloud is and who calls is in the environment, as for any program of
AWS's. JUDGE_TOKEN is a job's token; ARM64 and AMD64 are images in judge/agent.
Writes a JSON object: what was seen by the name of the call.
"""

import json
import os
import time
import urllib.error
import urllib.request

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

ACCOUNT = "111122223333"
ISSUER = "token.actions.githubusercontent.com"
PROVIDER = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{ISSUER}"
ROLE = f"arn:aws:iam::{ACCOUNT}:role/exec"
PUBLIC = {"networkMode": "PUBLIC"}


def client(service, **kwargs):
    return boto3.client(service, config=Config(retries={"total_max_attempts": 1}), **kwargs)


def trust(principal, action, condition=None):
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    if condition:
        statement["Condition"] = condition
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def attempt(call, **kwargs):
    """Returns an error's code, or that there was none."""
    try:
        call(**kwargs)
    except ClientError as err:
        return err.response["Error"]["Code"]
    return "accepted"


def settled(get):
    """Returns get's answer once its status is final, or after two seconds."""
    deadline = time.monotonic() + 2
    while True:
        answer = get()
        if not answer["status"].endswith("ING") or time.monotonic() > deadline:
            return answer
        time.sleep(0.02)


class Core:
    """AgentCore with an execution role, and a runtime with two versions."""

    def __init__(self):
        self.client = client("bedrock-agentcore-control")
        document = trust({"Service": "bedrock-agentcore.amazonaws.com"}, "sts:AssumeRole")
        iam = client("iam")
        iam.create_role(RoleName="exec", AssumeRolePolicyDocument=document)
        pull = ["ecr:GetAuthorizationToken", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
        statement = {"Effect": "Allow", "Action": pull, "Resource": "*"}
        document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        iam.put_role_policy(RoleName="exec", PolicyName="pull", PolicyDocument=document)
        self.created = self.create(
            "first",
            description="one",
            environmentVariables={"LOG_LEVEL": "info"},
            lifecycleConfiguration={"idleRuntimeSessionTimeout": 600, "maxLifetime": 7200},
            filesystemConfigurations=[{"sessionStorage": {"mountPath": "/mnt/data"}}],
        )
        self.id = self.created["agentRuntimeId"]
        self.first = self.ready()
        self.update(description="two")
        self.busy = attempt(self.update)
        self.second = self.ready()

    def create(self, name, uri="", role=ROLE, network=None, **kwargs):
        return self.client.create_agent_runtime(
            agentRuntimeName=name,
            roleArn=role,
            networkConfiguration=network or PUBLIC,
            agentRuntimeArtifact=artifact(uri),
            **kwargs,
        )

    def update(self, **kwargs):
        self.client.update_agent_runtime(
            agentRuntimeId=self.id,
            roleArn=ROLE,
            networkConfiguration=PUBLIC,
            agentRuntimeArtifact=artifact(""),
            **kwargs,
        )

    def get(self, **kwargs):
        return self.client.get_agent_runtime(agentRuntimeId=self.id, **kwargs)

    def ready(self):
        return settled(self.get)

    def endpoint(self, name):
        return self.client.get_agent_runtime_endpoint(agentRuntimeId=self.id, endpointName=name)


def artifact(uri):
    return {"containerConfiguration": {"containerUri": uri or os.environ["ARM64"]}}


def agentcore():
    core = Core()
    variables = core.second.get("environmentVariables")
    idle = core.second["lifecycleConfiguration"].get("idleRuntimeSessionTimeout")
    yield "omitted environment and lifecycle", f"{variables}, idle {idle}"
    yield "status after an update", core.second["status"]
    yield "update of a runtime that is UPDATING", core.busy
    yield "description of version 1", core.get(agentRuntimeVersion="1")["description"]
    yield "metadataConfiguration of a new runtime", str(core.first.get("metadataConfiguration"))
    yield "filesystemConfigurations", str(core.first.get("filesystemConfigurations"))
    arn = core.created["agentRuntimeArn"]
    yield "runtime's ARN", arn.split(":")[5].split("/")[0] + "/…"
    yield "runtime's id", "the name and ten characters" if core.id.startswith("first-") else "random"
    yield "endpoint DEFAULT", attempt(core.endpoint, name="DEFAULT")
    core.client.create_agent_runtime_endpoint(agentRuntimeId=core.id, name="live", agentRuntimeVersion="1")
    settled(lambda: core.endpoint("live"))
    core.client.update_agent_runtime_endpoint(agentRuntimeId=core.id, endpointName="live", agentRuntimeVersion="2")
    live = settled(lambda: core.endpoint("live"))
    yield "endpoint that was moved to version 2", f"{live['status']}, liveVersion {live['liveVersion']}"
    listed = core.client.list_agent_runtime_versions(agentRuntimeId=core.id, maxResults=1)
    more = "a" if listed.get("nextToken") else "no"
    yield "a page of one version", f"{len(listed['agentRuntimes'])} and {more} nextToken"
    stop = client("bedrock-agentcore").stop_runtime_session
    yield "stop of a session that is not there", attempt(stop, agentRuntimeArn=arn, runtimeSessionId="s" * 40)
    yield from refusals(core)


def refusals(core):
    token = "t" * 40
    ids = [core.create("again", clientToken=token)["agentRuntimeId"] for _ in range(2)]
    yield "creation with the same clientToken", "the same runtime" if ids[0] == ids[1] else "another runtime"
    yield "image for amd64 on a microVM", attempt(core.create, name="amd64", uri=os.environ["AMD64"])
    missing = os.environ["ARM64"].split("@")[0] + ":none"
    yield "image that is not there", attempt(core.create, name="missing", uri=missing)
    yield "execution role that is not there", attempt(core.create, name="nobody", role=ROLE + "x")
    subnets = ["subnet-0123456789abcdef0,subnet-0123456789abcdef1"]
    config = {"securityGroups": ["sg-0123456789abcdef0"], "subnets": subnets}
    pasted = {"networkMode": "VPC", "networkModeConfig": config}
    yield "two subnets pasted into one", attempt(core.create, name="pasted", network=pasted)
    yield "runtime's name with a hyphen", attempt(core.create, name="has-hyphen")
    for i in range(9):
        last = attempt(core.client.create_agent_runtime_endpoint, agentRuntimeId=core.id, name=f"e{i}")
    yield "eleventh endpoint", last


def identity():
    sts, iam = client("sts"), client("iam")
    iam.create_open_id_connect_provider(
        Url=f"https://{ISSUER}", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["6" * 40]
    )
    claims = {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": "repo:acme/agents:environment:prd"}

    def create_role(name):
        document = trust({"Federated": PROVIDER}, "sts:AssumeRoleWithWebIdentity", {"StringEquals": claims})
        return iam.create_role(RoleName=name, AssumeRolePolicyDocument=document)

    def assume(arn=f"arn:aws:iam::{ACCOUNT}:role/deploy", token=os.environ["JUDGE_TOKEN"]):
        return sts.assume_role_with_web_identity(RoleArn=arn, RoleSessionName="judge", WebIdentityToken=token)

    create_role("deploy")
    yield "token of another environment", attempt(assume)
    yield "token that nobody signed", attempt(assume, token="a.b.c")
    yield "role that is not there", attempt(assume, arn=f"arn:aws:iam::{ACCOUNT}:role/nobody")
    wrong = client("sts", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="wrong")
    yield "wrong signature", attempt(wrong.get_caller_identity)
    del claims[f"{ISSUER}:sub"]
    yield "trust in all of GitHub", attempt(create_role, name="open")


def parameters():
    ssm = client("ssm")
    ssm.put_parameter(Name="/judge/key", Value="hidden", Type="SecureString")
    value = ssm.get_parameter(Name="/judge/key")["Parameter"]["Value"]
    yield "SecureString that is not decrypted", "has the value in it" if "hidden" in value else "opaque"
    nested = {"Name": "/judge/nested", "Value": "{{ssm:/judge/key}}", "Type": "String"}
    yield "parameter that names another", attempt(ssm.put_parameter, **nested)


def registry():
    ecr = client("ecr")
    repository = {"repositoryName": "judge/moto"}
    filters = [{"filterType": "WILDCARD", "filter": "latest"}]
    ecr.create_repository(
        **repository, imageTagMutability="IMMUTABLE_WITH_EXCLUSION", imageTagMutabilityExclusionFilters=filters
    )
    for revision in ("one", "two"):
        index = manifest("index", manifests=[], annotations={"revision": revision})
        moved = attempt(ecr.put_image, **repository, imageManifest=index, imageTag="fixed")
    yield "immutable tag that is moved", moved
    image = manifest("manifest", config=blob("config.v1+json", "a"), layers=[blob("layer.v1.tar+gzip", "b")])
    put = {**repository, "imageManifest": image}
    yield "manifest whose layers are not there", attempt(ecr.put_image, **put, imageTag="one")
    other = "sha256:" + "c" * 64
    yield "imageDigest that is not the manifest's", attempt(ecr.put_image, **put, imageTag="two", imageDigest=other)
    check = ecr.batch_check_layer_availability
    yield "BatchCheckLayerAvailability", attempt(check, **repository, layerDigests=[other])
    try:
        urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/v2/")
    except urllib.error.HTTPError as err:
        challenge = err.headers.get("WWW-Authenticate", "no challenge").split(" realm")[0]
        yield "the registry at /v2/", f"{err.code}, {challenge}"


def manifest(kind, **members):
    media_type = f"application/vnd.oci.image.{kind}.v1+json"
    return json.dumps({"schemaVersion": 2, "mediaType": media_type, **members})


def blob(kind, digit):
    return {"mediaType": f"application/vnd.oci.image.{kind}", "size": 2, "digest": "sha256:" + digit * 64}


def main():
    seen = {}
    for judgement in (agentcore, identity, parameters, registry):
        for name, what in judgement():
            seen[name] = what
    print(json.dumps(seen, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
