import * as iamSDK from '@aws-sdk/client-iam';
import * as stsSDK from '@aws-sdk/client-sts';
import { Judge } from './harness.mjs';

const issuer = 'token.actions.githubusercontent.com';
const account = '111122223333';
const providerArn = `arn:aws:iam::${account}:oidc-provider/${issuer}`;
const thumbprint = '6938fd4d98bab03faadb97b34396831e3780aea1';

const gitHubTrust = (subject) =>
  JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: { Federated: providerArn },
        Action: 'sts:AssumeRoleWithWebIdentity',
        Condition: { StringEquals: { [`${issuer}:aud`]: 'sts.amazonaws.com', [`${issuer}:sub`]: subject } },
      },
    ],
  });
const serviceTrust = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { Service: 'bedrock-agentcore.amazonaws.com' }, Action: 'sts:AssumeRole' }],
});
const permissions = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: ['ecr:*', 'bedrock-agentcore:*', 'ssm:*', 'logs:*'], Resource: '*' }],
});
// What an execution role needs to pull an image.
const pull = JSON.stringify({
  Version: '2012-10-17',
  Statement: [
    {
      Effect: 'Allow',
      Action: ['ecr:GetAuthorizationToken', 'ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
      Resource: '*',
    },
  ],
});

export async function identity(env) {
  const iam = new Judge('IAM', iamSDK, iamSDK.IAMClient);
  await providers(iam);
  await roles(iam);
  await policies(iam);
  await webIdentity(env);
  await deletions(iam);
}

async function providers(iam) {
  await iam.ok(
    'CreateOpenIDConnectProvider',
    {
      Url: `https://${issuer}`,
      ClientIDList: ['sts.amazonaws.com'],
      ThumbprintList: [thumbprint],
      Tags: [{ Key: 'team', Value: 'agents' }],
    },
    { OpenIDConnectProviderArn: providerArn },
  );
  await iam.refused('CreateOpenIDConnectProvider', { Url: `https://${issuer}` }, 'EntityAlreadyExistsException');
  await iam.refused('CreateOpenIDConnectProvider', { Url: `https://${issuer}?x=1` }, 'ValidationError');
  await iam.ok('AddClientIDToOpenIDConnectProvider', { OpenIDConnectProviderArn: providerArn, ClientID: 'other' }, {});
  await iam.ok('AddClientIDToOpenIDConnectProvider', { OpenIDConnectProviderArn: providerArn, ClientID: 'other' }, {});
  await iam.ok(
    'GetOpenIDConnectProvider',
    { OpenIDConnectProviderArn: providerArn },
    {
      Url: issuer,
      ClientIDList: ['sts.amazonaws.com', 'other'],
      ThumbprintList: [thumbprint],
      CreateDate: Date,
      Tags: [{ Key: 'team', Value: 'agents' }],
    },
  );
  await iam.refused(
    'GetOpenIDConnectProvider',
    { OpenIDConnectProviderArn: providerArn + 'x' },
    'NoSuchEntityException',
  );
  await iam.ok('ListOpenIDConnectProviders', {}, { OpenIDConnectProviderList: [{ Arn: providerArn }] });
}

async function roles(iam) {
  await iam.ok(
    'CreateRole',
    {
      RoleName: 'deploy',
      AssumeRolePolicyDocument: gitHubTrust('repo:acme/agents:environment:prd'),
      MaxSessionDuration: 7200,
      Description: 'deploys',
    },
    {
      Role: {
        Arn: `arn:aws:iam::${account}:role/deploy`,
        RoleName: 'deploy',
        Path: '/',
        RoleId: /^AROA[A-Z0-9]{17}$/,
        CreateDate: Date,
        AssumeRolePolicyDocument: String,
        MaxSessionDuration: 7200,
        Description: 'deploys',
        Tags: undefined,
      },
    },
  );
  await iam.ok(
    'CreateRole',
    {
      RoleName: 'exec',
      Path: '/service/',
      AssumeRolePolicyDocument: serviceTrust,
      Tags: [{ Key: 'team', Value: 'agents' }],
    },
    {
      Role: {
        Arn: `arn:aws:iam::${account}:role/service/exec`,
        Path: '/service/',
        Tags: [{ Key: 'team', Value: 'agents' }],
      },
    },
  );
  await iam.refused(
    'CreateRole',
    { RoleName: 'deploy', AssumeRolePolicyDocument: serviceTrust },
    'EntityAlreadyExistsException',
  );
  await iam.refused('CreateRole', { RoleName: 'x', AssumeRolePolicyDocument: '{' }, 'MalformedPolicyDocumentException');
  await iam.ok(
    'GetRole',
    { RoleName: 'deploy' },
    { Role: { RoleName: 'deploy', MaxSessionDuration: 7200, AssumeRolePolicyDocument: /^%7B/ } },
  );
  await iam.refused('GetRole', { RoleName: 'nobody' }, 'NoSuchEntityException');
  await iam.ok(
    'ListRoles',
    { PathPrefix: '/service/' },
    { Roles: [{ RoleName: 'exec', CreateDate: Date }], IsTruncated: false, Marker: undefined },
  );
  await iam.pages('ListRoles', {}, 'Roles', 2);
  await iam.ok(
    'UpdateAssumeRolePolicy',
    { RoleName: 'deploy', PolicyDocument: gitHubTrust('repo:acme/agents:environment:dev') },
    {},
  );
  await iam.refused(
    'UpdateAssumeRolePolicy',
    { RoleName: 'deploy', PolicyDocument: '[]' },
    'MalformedPolicyDocumentException',
  );
}

async function policies(iam) {
  await iam.ok('PutRolePolicy', { RoleName: 'deploy', PolicyName: 'deploy', PolicyDocument: permissions }, {});
  await iam.ok('PutRolePolicy', { RoleName: 'exec', PolicyName: 'pull', PolicyDocument: pull }, {});
  await iam.refused(
    'PutRolePolicy',
    { RoleName: 'deploy', PolicyName: 'bad', PolicyDocument: '{}' },
    'MalformedPolicyDocumentException',
  );
  const { PolicyDocument } = await iam.ok(
    'GetRolePolicy',
    { RoleName: 'deploy', PolicyName: 'deploy' },
    { RoleName: 'deploy', PolicyName: 'deploy' },
  );
  if (decodeURIComponent(PolicyDocument) !== permissions)
    iam.report('GetRolePolicy', 'the document', `it came back as ${PolicyDocument}`);
  await iam.refused('GetRolePolicy', { RoleName: 'deploy', PolicyName: 'none' }, 'NoSuchEntityException');
  await iam.ok('ListRolePolicies', { RoleName: 'deploy' }, { PolicyNames: ['deploy'], IsTruncated: false });
  await iam.ok('ListAttachedRolePolicies', { RoleName: 'deploy' }, { AttachedPolicies: [], IsTruncated: false });
  await iam.refused('DeleteRole', { RoleName: 'deploy' }, 'DeleteConflictException');
}

// webIdentity is a job that becomes the role, and goes on with its keys.
async function webIdentity(env) {
  const sts = new Judge('STS', stsSDK, stsSDK.STSClient);
  await sts.ok('GetCallerIdentity', {}, { Account: account, Arn: /^arn:aws:iam::111122223333:user\//, UserId: String });
  const request = {
    RoleArn: `arn:aws:iam::${account}:role/deploy`,
    RoleSessionName: 'judge',
    WebIdentityToken: env.JUDGE_TOKEN,
  };
  const { Credentials } = await sts.ok(
    'AssumeRoleWithWebIdentity',
    { ...request, DurationSeconds: 900 },
    {
      Credentials: { AccessKeyId: /^ASIA/, SecretAccessKey: String, SessionToken: String, Expiration: Date },
      SubjectFromWebIdentityToken: 'repo:acme/agents:environment:dev',
      Audience: 'sts.amazonaws.com',
      Provider: providerArn,
      AssumedRoleUser: {
        Arn: `arn:aws:sts::${account}:assumed-role/deploy/judge`,
        AssumedRoleId: /^AROA[A-Z0-9]{17}:judge$/,
      },
    },
  );
  await sts.refused(
    'AssumeRoleWithWebIdentity',
    { ...request, RoleArn: `arn:aws:iam::${account}:role/nobody` },
    'AccessDenied',
    /Not authorized to perform sts:AssumeRoleWithWebIdentity/,
  );
  await sts.refused(
    'AssumeRoleWithWebIdentity',
    { ...request, WebIdentityToken: 'a.b.c' },
    'InvalidIdentityTokenException',
  );
  await sts.refused(
    'AssumeRoleWithWebIdentity',
    { ...request, DurationSeconds: 10_000 },
    'ValidationError',
    /MaxSessionDuration/,
  );
  const job = new Judge(
    'STS',
    stsSDK,
    class extends stsSDK.STSClient {
      constructor(options) {
        super({
          ...options,
          credentials: {
            accessKeyId: Credentials.AccessKeyId,
            secretAccessKey: Credentials.SecretAccessKey,
            sessionToken: Credentials.SessionToken,
          },
        });
      }
    },
  );
  await job.ok(
    'GetCallerIdentity',
    {},
    { Account: account, Arn: `arn:aws:sts::${account}:assumed-role/deploy/judge`, UserId: /:judge$/ },
  );
}

async function deletions(iam) {
  await iam.ok('DeleteRolePolicy', { RoleName: 'deploy', PolicyName: 'deploy' }, {});
  await iam.refused('DeleteRolePolicy', { RoleName: 'deploy', PolicyName: 'deploy' }, 'NoSuchEntityException');
  await iam.ok('DeleteRole', { RoleName: 'deploy' }, {});
  await iam.refused('DeleteRole', { RoleName: 'deploy' }, 'NoSuchEntityException');
  await iam.ok('DeleteOpenIDConnectProvider', { OpenIDConnectProviderArn: providerArn }, {});
  await iam.ok('DeleteOpenIDConnectProvider', { OpenIDConnectProviderArn: providerArn }, {}); // idempotent, AWS says
  await iam.refused('DeleteOpenIDConnectProvider', { OpenIDConnectProviderArn: 'arn:aws:iam' }, 'ValidationError');
}

// withoutKeys is somebody whose keys are not the cloud's.
export async function withoutKeys() {
  const stranger = { accessKeyId: 'AKIAIOSFODNN7EXAMPLE', secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY' };
  const sts = new Judge(
    'STS',
    stsSDK,
    class extends stsSDK.STSClient {
      constructor(options) {
        super({ ...options, credentials: stranger });
      }
    },
  );
  await sts.refused('GetCallerIdentity', {}, 'InvalidClientTokenId');
}
