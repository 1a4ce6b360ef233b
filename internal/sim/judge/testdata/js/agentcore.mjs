import * as control from '@aws-sdk/client-bedrock-agentcore-control';
import * as data from '@aws-sdk/client-bedrock-agentcore';
import * as logsSDK from '@aws-sdk/client-cloudwatch-logs';
import { Judge } from './harness.mjs';

const account = '111122223333';
const runtimePattern = /^arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime\/judged-[A-Za-z0-9]{10}$/;
const endpointPattern =
  /^arn:aws:bedrock-agentcore:us-east-1:111122223333:runtime\/judged-[A-Za-z0-9]{10}\/runtime-endpoint\/[A-Za-z]+$/;

export default async function agentcore(env) {
  const core = new Judge('AgentCore', control, control.BedrockAgentCoreControlClient);
  const runtime = await runtimes(core, env.JUDGE_IMAGE);
  await endpoints(core, runtime.agentRuntimeId);
  await invocations(new Judge('AgentCore', data, data.BedrockAgentCoreClient), runtime);
  await agentCard(core, new Judge('AgentCore', data, data.BedrockAgentCoreClient), env.JUDGE_IMAGE);
  await logs(new Judge('CloudWatch Logs', logsSDK, logsSDK.CloudWatchLogsClient), runtime.agentRuntimeId);
  await deletions(core, runtime.agentRuntimeId);
}

// configuration is everything but the name. It runs on instances, whose images
// may be of the judge's own platform.
const configuration = (containerUri) => ({
  agentRuntimeArtifact: { containerConfiguration: { containerUri } },
  roleArn: `arn:aws:iam::${account}:role/service/exec`,
  networkConfiguration: { networkMode: 'PUBLIC' },
  capacityProviderConfiguration: {
    capacityProviderArn: `arn:aws:bedrock-agentcore:us-east-1:${account}:capacity-provider/judge`,
  },
  description: 'judged',
  environmentVariables: { PROTOCOL: 'HTTP' },
  lifecycleConfiguration: { idleRuntimeSessionTimeout: 600, maxLifetime: 7200 },
  protocolConfiguration: { serverProtocol: 'HTTP' },
});

async function runtimes(core, image) {
  const agentRuntimeName = 'judged';
  const settings = configuration(image);
  const changed = {
    agentRuntimeArn: runtimePattern,
    agentRuntimeId: /^judged-/,
    createdAt: Date,
    workloadIdentityDetails: { workloadIdentityArn: /^arn:/ },
  };
  const created = await core.ok(
    'CreateAgentRuntime',
    { agentRuntimeName, ...settings, tags: { team: 'agents' } },
    { ...changed, agentRuntimeVersion: '1', status: 'CREATING' },
  );
  const { agentRuntimeId } = created;
  await core.refused('CreateAgentRuntime', { agentRuntimeName, ...settings }, 'ConflictException', /already exists/);
  await core.refused('CreateAgentRuntime', { agentRuntimeName: 'has-hyphen', ...settings }, 'ValidationException');
  await core.until('GetAgentRuntime', { agentRuntimeId }, { status: 'READY' });
  const { agentRuntimeArn } = await core.ok(
    'GetAgentRuntime',
    { agentRuntimeId },
    {
      ...changed,
      ...settings,
      agentRuntimeName,
      agentRuntimeVersion: '1',
      status: 'READY',
      lastUpdatedAt: Date,
      metadataConfiguration: { requireMMDSV2: true },
      failureReason: undefined,
    },
  );
  await core.refused('GetAgentRuntime', { agentRuntimeId: 'judged-0123456789' }, 'ResourceNotFoundException');
  await core.ok(
    'UpdateAgentRuntime',
    {
      agentRuntimeId,
      ...settings,
      environmentVariables: { PROTOCOL: 'HTTP', REVISION: 'two' },
      metadataConfiguration: { requireMMDSV2: true },
    },
    { ...changed, agentRuntimeVersion: '2', status: 'UPDATING', lastUpdatedAt: Date },
  );
  await core.refused('UpdateAgentRuntime', { agentRuntimeId, ...settings }, 'ConflictException');
  await core.until('GetAgentRuntime', { agentRuntimeId }, { status: 'READY' });
  await core.refused(
    'UpdateAgentRuntime',
    { agentRuntimeId, ...configuration(image.split('@')[0] + ':none') },
    'ValidationException',
  );
  await core.ok(
    'GetAgentRuntime',
    { agentRuntimeId, agentRuntimeVersion: '1' },
    { agentRuntimeVersion: '1', environmentVariables: { PROTOCOL: 'HTTP', REVISION: undefined } },
  );
  const item = {
    agentRuntimeArn,
    agentRuntimeId,
    agentRuntimeName,
    agentRuntimeVersion: '2',
    description: 'judged',
    lastUpdatedAt: Date,
    status: 'READY',
  };
  await core.ok('ListAgentRuntimes', {}, { agentRuntimes: [item], nextToken: undefined });
  await core.refused('ListAgentRuntimes', { maxResults: 101 }, 'ValidationException');
  await core.ok(
    'ListAgentRuntimeVersions',
    { agentRuntimeId },
    { agentRuntimes: [{ agentRuntimeVersion: /^[12]$/ }, { agentRuntimeVersion: /^[12]$/ }] },
  );
  await core.pages('ListAgentRuntimeVersions', { agentRuntimeId }, 'agentRuntimes', 2);
  return created;
}

async function endpoints(core, agentRuntimeId) {
  await core.until(
    'GetAgentRuntimeEndpoint',
    { agentRuntimeId, endpointName: 'DEFAULT' },
    { status: 'READY', liveVersion: '2' },
  );
  const ends = { agentRuntimeArn: runtimePattern, agentRuntimeEndpointArn: endpointPattern, createdAt: Date };
  await core.ok(
    'CreateAgentRuntimeEndpoint',
    { agentRuntimeId, name: 'live', agentRuntimeVersion: '1', description: 'serves' },
    { ...ends, agentRuntimeId, endpointName: 'live', status: 'CREATING', targetVersion: '1' },
  );
  await core.refused('CreateAgentRuntimeEndpoint', { agentRuntimeId, name: 'live' }, 'ConflictException');
  await core.until('GetAgentRuntimeEndpoint', { agentRuntimeId, endpointName: 'live' }, { status: 'READY' });
  await core.ok(
    'GetAgentRuntimeEndpoint',
    { agentRuntimeId, endpointName: 'live' },
    {
      ...ends,
      name: 'live',
      id: 'live',
      status: 'READY',
      liveVersion: '1',
      targetVersion: '1',
      description: 'serves',
      lastUpdatedAt: Date,
      failureReason: undefined,
    },
  );
  await core.refused('GetAgentRuntimeEndpoint', { agentRuntimeId, endpointName: 'none' }, 'ResourceNotFoundException');
  await core.ok(
    'UpdateAgentRuntimeEndpoint',
    { agentRuntimeId, endpointName: 'live', agentRuntimeVersion: '2' },
    { ...ends, status: 'UPDATING', liveVersion: '1', targetVersion: '2', lastUpdatedAt: Date },
  );
  await core.until(
    'GetAgentRuntimeEndpoint',
    { agentRuntimeId, endpointName: 'live' },
    { status: 'READY', liveVersion: '2' },
  );
  await core.refused(
    'UpdateAgentRuntimeEndpoint',
    { agentRuntimeId, endpointName: 'live', agentRuntimeVersion: '9' },
    'ResourceNotFoundException',
  );
  await core.ok(
    'ListAgentRuntimeEndpoints',
    { agentRuntimeId },
    {
      runtimeEndpoints: [
        { ...ends, name: 'DEFAULT', id: 'DEFAULT', status: 'READY', liveVersion: '2' },
        { name: 'live' },
      ],
    },
  );
  await core.pages('ListAgentRuntimeEndpoints', { agentRuntimeId }, 'runtimeEndpoints', 2);
}

const session = 'judge-session-0123456789-0123456789';

async function invocations(core, { agentRuntimeArn, agentRuntimeId }) {
  const call = {
    agentRuntimeArn,
    runtimeSessionId: session,
    contentType: 'application/json',
    accept: 'application/json',
  };
  const out = await core.ok(
    'InvokeAgentRuntime',
    { ...call, payload: '{"prompt":"ping"}' },
    { runtimeSessionId: session, contentType: 'application/json', statusCode: 200 },
  );
  const answer = JSON.parse(await out.response.transformToString());
  core.report(
    'InvokeAgentRuntime',
    "the agent's answer",
    answer.calls === 1 && answer.session === session ? '' : `it is ${JSON.stringify(answer)}`,
  );
  const stream = await core.ok(
    'InvokeAgentRuntime',
    { ...call, agentRuntimeArn: agentRuntimeId, accountId: account, qualifier: 'live', payload: '{"do":"stream"}' },
    { contentType: 'text/event-stream' },
  );
  const events = await stream.response.transformToString();
  core.report('InvokeAgentRuntime', 'a stream', events === 'data: one\n\ndata: two\n\n' ? '' : `it is ${events}`);
  await core.refused(
    'InvokeAgentRuntime',
    { ...call, payload: '{"do":"fail"}' },
    'RuntimeClientError',
    /Received error \(500\) from runtime/,
  );
  await core.refused('InvokeAgentRuntime', { ...call, qualifier: 'none', payload: '{}' }, 'ResourceNotFoundException');
  await core.refused(
    'InvokeAgentRuntime',
    { ...call, runtimeSessionId: 'short', payload: '{}' },
    'ValidationException',
  );
  await core.ok(
    'StopRuntimeSession',
    { agentRuntimeArn, runtimeSessionId: session },
    { runtimeSessionId: session, statusCode: 200 },
  );
  await core.refused('StopRuntimeSession', { agentRuntimeArn, runtimeSessionId: session }, 'ResourceNotFoundException');
}

// agentCard is that of a runtime of its own, which speaks A2A.
async function agentCard(core, calls, image) {
  const { agentRuntimeArn, agentRuntimeId } = await core.ok(
    'CreateAgentRuntime',
    {
      ...configuration(image),
      agentRuntimeName: 'carded',
      environmentVariables: { PROTOCOL: 'A2A' },
      protocolConfiguration: { serverProtocol: 'A2A' },
    },
    { agentRuntimeVersion: '1' },
  );
  await core.until(
    'GetAgentRuntimeEndpoint',
    { agentRuntimeId, endpointName: 'DEFAULT' },
    { status: 'READY', liveVersion: '1' },
  );
  await calls.ok(
    'GetAgentCard',
    { agentRuntimeArn, runtimeSessionId: session },
    { agentCard: { name: 'small' }, runtimeSessionId: session, statusCode: 200 },
  );
  await calls.refused('GetAgentCard', { agentRuntimeArn: agentRuntimeArn.slice(0, -1) + '_' }, 'ValidationException');
  await calls.refused('GetAgentCard', { agentRuntimeArn, qualifier: 'none' }, 'ResourceNotFoundException');
}

async function logs(logs, agentRuntimeId) {
  const logGroupName = `/aws/bedrock-agentcore/runtimes/${agentRuntimeId}-DEFAULT`;
  await logs.until('FilterLogEvents', { logGroupName, filterPattern: '"handler fails"' }, { events: [{}] });
  await logs.ok(
    'FilterLogEvents',
    { logGroupName, filterPattern: '"handler fails"', startTime: Date.now() - 60_000 },
    {
      events: [
        {
          logStreamName: /\[runtime-logs/,
          timestamp: Number,
          ingestionTime: Number,
          message: /^the handler fails/,
          eventId: String,
        },
      ],
      nextToken: undefined,
    },
  );
  await logs.refused('FilterLogEvents', { logGroupName: '/none' }, 'ResourceNotFoundException');
  await logs.refused('FilterLogEvents', { logGroupName, limit: 0 }, 'InvalidParameterException');
  await logs.ok(
    'DescribeLogGroups',
    { logGroupNamePrefix: logGroupName },
    { logGroups: [{ logGroupName, creationTime: Number, arn: /:\*$/, logGroupArn: /[^*]$/, storedBytes: Number }] },
  );
  await logs.refused('DescribeLogGroups', { limit: 51 }, 'InvalidParameterException');
  await logs.ok(
    'DescribeLogStreams',
    { logGroupName },
    {
      logStreams: [
        {
          logStreamName: /\[runtime-logs/,
          creationTime: Number,
          firstEventTimestamp: Number,
          lastEventTimestamp: Number,
          arn: String,
        },
      ],
    },
  );
  await logs.refused('DescribeLogStreams', { logGroupName: '/none' }, 'ResourceNotFoundException');
}

async function deletions(core, agentRuntimeId) {
  await core.ok(
    'DeleteAgentRuntimeEndpoint',
    { agentRuntimeId, endpointName: 'live' },
    { status: 'DELETING', agentRuntimeId, endpointName: 'live' },
  );
  await core.refused('DeleteAgentRuntimeEndpoint', { agentRuntimeId, endpointName: 'DEFAULT' }, 'ConflictException');
  await core.ok('DeleteAgentRuntime', { agentRuntimeId }, { status: 'DELETING', agentRuntimeId });
  await core.refused('DeleteAgentRuntime', { agentRuntimeId: 'judged-0123456789' }, 'ResourceNotFoundException');
}
