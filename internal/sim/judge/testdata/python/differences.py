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
        client("iam").create_role(RoleName="exec", AssumeRolePolicyDocument=trust({"Service": "bedrock-agentcore.amazonaws.com"}, "sts:AssumeRole"))
        self.created = self.create("first", description="one", environmentVariables={"LOG_LEVEL": "info"}, lifecycleConfiguration={"idleRuntimeSessionTimeout": 600, "maxLifetime": 7200},
                                   filesystemConfigurations=[{"sessionStorage": {"mountPath": "/mnt/data"}}])
        self.id = self.created["agentRuntimeId"]
        self.first = self.ready()
        self.update(description="two")
        self.busy = attempt(self.update)
        self.second = self.ready()

    def create(self, name, uri="", role=ROLE, network=None, **kwargs):
        return self.client.create_agent_runtime(agentRuntimeName=name, roleArn=role, networkConfiguration=network or PUBLIC, agentRuntimeArtifact=artifact(uri), **kwargs)

    def update(self, **kwargs):
        self.client.update_agent_runtime(agentRuntimeId=self.id, roleArn=ROLE, networkConfiguration=PUBLIC, agentRuntimeArtifact=artifact(""), **kwargs)

    def ready(self):
        return settled(lambda: self.client.get_agent_runtime(agentRuntimeId=self.id))

    def endpoint(self, name):
        return self.client.get_agent_runtime_endpoint(agentRuntimeId=self.id, endpointName=name)


def artifact(uri):
    return {"containerConfiguration": {"containerUri": uri or os.environ["ARM64"]}}


def agentcore():
    core = Core()
    yield "omitted environment and lifecycle", f"{core.second.get('environmentVariables')}, idle {core.second['lifecycleConfiguration'].get('idleRuntimeSessionTimeout')}"
    yield "status after an update", core.second["status"]
    yield "update of a runtime that is UPDATING", core.busy
    yield "description of version 1", core.client.get_agent_runtime(agentRuntimeId=core.id, agentRuntimeVersion="1")["description"]
    yield "metadataConfiguration of a new runtime", str(core.first.get("metadataConfiguration"))
    yield "filesystemConfigurations", str(core.first.get("filesystemConfigurations"))
    yield "runtime's ARN", core.created["agentRuntimeArn"].split(":")[5].split("/")[0] + "/…"
    yield "runtime's id", "the name and ten characters" if core.id.startswith("first-") else "random"
    yield "endpoint DEFAULT", attempt(core.endpoint, name="DEFAULT")
    core.client.create_agent_runtime_endpoint(agentRuntimeId=core.id, name="live", agentRuntimeVersion="1")
    settled(lambda: core.endpoint("live"))
    core.client.update_agent_runtime_endpoint(agentRuntimeId=core.id, endpointName="live", agentRuntimeVersion="2")
    live = settled(lambda: core.endpoint("live"))
    yield "endpoint that was moved to version 2", f"{live['status']}, liveVersion {live['liveVersion']}"
    listed = core.client.list_agent_runtime_versions(agentRuntimeId=core.id, maxResults=1)
    yield "a page of one of two versions", f"{len(listed['agentRuntimes'])} and {'a' if listed.get('nextToken') else 'no'} nextToken"
    arn = core.created["agentRuntimeArn"]
    yield "stop of a session that is not there", attempt(client("bedrock-agentcore").stop_runtime_session, agentRuntimeArn=arn, runtimeSessionId="s" * 40)
    yield from refusals(core)


def refusals(core):
    token = "t" * 40
    once = core.create("again", clientToken=token)["agentRuntimeId"]
    try:
        yield "creation with the same clientToken", "the same runtime" if core.create("again", clientToken=token)["agentRuntimeId"] == once else "another runtime"
    except ClientError as err:
        yield "creation with the same clientToken", err.response["Error"]["Code"]
    yield "image for amd64 on a microVM", attempt(core.create, name="amd64", uri=os.environ["AMD64"])
    yield "image that is not there", attempt(core.create, name="missing", uri=os.environ["ARM64"].split("@")[0] + ":none")
    yield "execution role that is not there", attempt(core.create, name="nobody", role=ROLE + "x")
    pasted = {"networkMode": "VPC", "networkModeConfig": {"securityGroups": ["sg-0123456789abcdef0"], "subnets": ["subnet-0123456789abcdef0,subnet-0123456789abcdef1"]}}
    yield "two subnets pasted into one", attempt(core.create, name="pasted", network=pasted)
    yield "runtime's name with a hyphen", attempt(core.create, name="has-hyphen")
    for i in range(9):
        last = attempt(core.client.create_agent_runtime_endpoint, agentRuntimeId=core.id, name=f"e{i}")
    yield "eleventh endpoint", last


def identity():
    sts, iam = client("sts"), client("iam")
    iam.create_open_id_connect_provider(Url=f"https://{ISSUER}", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["6" * 40])
    condition = {"StringEquals": {f"{ISSUER}:aud": "sts.amazonaws.com", f"{ISSUER}:sub": "repo:acme/agents:environment:prd"}}
    role = {"RoleSessionName": "judge", "RoleArn": f"arn:aws:iam::{ACCOUNT}:role/deploy", "WebIdentityToken": os.environ["JUDGE_TOKEN"]}
    iam.create_role(RoleName="deploy", AssumeRolePolicyDocument=trust({"Federated": PROVIDER}, "sts:AssumeRoleWithWebIdentity", condition))
    yield "token of another environment", attempt(sts.assume_role_with_web_identity, **role)
    yield "token that nobody signed", attempt(sts.assume_role_with_web_identity, **{**role, "WebIdentityToken": "a.b.c"})
    yield "role that is not there", attempt(sts.assume_role_with_web_identity, **{**role, "RoleArn": role["RoleArn"] + "x"})
    wrong = client("sts", aws_access_key_id=os.environ["AWS_ACCESS_KEY_ID"], aws_secret_access_key="wrong")
    yield "wrong signature", attempt(wrong.get_caller_identity)
    del condition["StringEquals"][f"{ISSUER}:sub"]
    document = trust({"Federated": PROVIDER}, "sts:AssumeRoleWithWebIdentity", condition)
    yield "trust in all of GitHub", attempt(iam.create_role, RoleName="open", AssumeRolePolicyDocument=document)


def parameters():
    ssm = client("ssm")
    ssm.put_parameter(Name="/judge/key", Value="hidden", Type="SecureString")
    value = ssm.get_parameter(Name="/judge/key")["Parameter"]["Value"]
    yield "SecureString that is not decrypted", "has the value in it" if "hidden" in value else "opaque"
    yield "parameter that names another", attempt(ssm.put_parameter, Name="/judge/nested", Value="{{ssm:/judge/key}}", Type="String")


def registry():
    ecr = client("ecr")
    filters = [{"filterType": "WILDCARD", "filter": "latest"}]
    ecr.create_repository(repositoryName="judge/moto", imageTagMutability="IMMUTABLE_WITH_EXCLUSION", imageTagMutabilityExclusionFilters=filters)
    for revision in ("one", "two"):
        index = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [], "annotations": {"revision": revision}})
        moved = attempt(ecr.put_image, repositoryName="judge/moto", imageManifest=index, imageTag="fixed")
    yield "immutable tag that is moved", moved
    blob = {"mediaType": "application/vnd.oci.image.config.v1+json", "size": 2, "digest": "sha256:" + "a" * 64}
    layer = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "size": 2, "digest": "sha256:" + "b" * 64}
    manifest = json.dumps({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "config": blob, "layers": [layer]})
    put = {"repositoryName": "judge/moto", "imageManifest": manifest, "imageTag": "one"}
    yield "manifest whose layers are not there", attempt(ecr.put_image, **put)
    yield "imageDigest that is not the manifest's", attempt(ecr.put_image, **{**put, "imageDigest": "sha256:" + "c" * 64, "imageTag": "two"})
    yield "BatchCheckLayerAvailability", attempt(ecr.batch_check_layer_availability, repositoryName="judge/moto", layerDigests=[layer["digest"]])
    try:
        urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/v2/")
    except urllib.error.HTTPError as err:
        yield "the registry at /v2/", f"{err.code}, {err.headers.get('WWW-Authenticate', 'no challenge').split(' realm')[0]}"


def main():
    seen = {}
    for judgement in (agentcore, identity, parameters, registry):
        for name, what in judgement():
            seen[name] = what
    print(json.dumps(seen, indent=1, ensure_ascii=False))


if __name__ == "__main__":
    main()
