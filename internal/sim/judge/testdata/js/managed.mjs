import * as sdk from '@aws-sdk/client-iam';
import { Judge } from './harness.mjs';

const account = '111122223333';
const allow = (Action) =>
  JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action, Resource: '*' }] });
const serviceTrust = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Principal: { Service: 'bedrock-agentcore.amazonaws.com' }, Action: 'sts:AssumeRole' }],
});
const own = `arn:aws:iam::${account}:policy/ci/boundary`;
const none = `arn:aws:iam::${account}:policy/none`;
const powerUser = 'arn:aws:iam::aws:policy/PowerUserAccess';
const team = [{ Key: 'team', Value: 'agents' }];
const RoleName = 'managed';

// managed makes a role with everything that a role can have, and takes it away.
export default async function managed() {
  const iam = new Judge('IAM', sdk, sdk.IAMClient);
  await policies(iam);
  await versions(iam);
  await iam.ok(
    'CreateRole',
    { RoleName, Path: '/judge/', AssumeRolePolicyDocument: serviceTrust, PermissionsBoundary: own },
    { Role: { PermissionsBoundary: { PermissionsBoundaryType: 'Policy', PermissionsBoundaryArn: own } } },
  );
  await attached(iam);
  await boundaries(iam);
  await tags(iam);
  await roleSettings(iam);
  await linkedRoles(iam);
  await iam.ok('DeleteRole', { RoleName }, {});
  await iam.ok('DeletePolicy', { PolicyArn: own }, {});
  await iam.refused('DeletePolicy', { PolicyArn: own }, 'NoSuchEntityException');
}

async function policies(iam) {
  const Policy = {
    PolicyName: 'boundary',
    PolicyId: /^ANPA[A-Z0-9]{17}$/,
    Arn: own,
    Path: '/ci/',
    DefaultVersionId: 'v1',
    AttachmentCount: 0,
    PermissionsBoundaryUsageCount: 0,
    IsAttachable: true,
    CreateDate: Date,
    UpdateDate: Date,
  };
  const input = { PolicyName: 'boundary', Path: '/ci/', PolicyDocument: allow('ecr:*'), Description: 'bounds' };
  await iam.ok('CreatePolicy', { ...input, Tags: team }, { Policy: { ...Policy, Tags: team } });
  await iam.refused('CreatePolicy', { ...input, PolicyName: 'Boundary' }, 'EntityAlreadyExistsException');
  await iam.refused('CreatePolicy', { ...input, PolicyDocument: '{}' }, 'MalformedPolicyDocumentException');
  await iam.refused(
    'CreatePolicy',
    { ...input, PolicyName: 'long', PolicyDocument: allow('ecr:' + 'x'.repeat(6144)) },
    'LimitExceededException',
    /PolicySize: 6144/,
  );
  await iam.ok('GetPolicy', { PolicyArn: own }, { Policy: { ...Policy, Description: 'bounds', Tags: team } });
  await iam.ok('GetPolicy', { PolicyArn: powerUser }, { Policy: { Arn: powerUser, DefaultVersionId: 'v12' } });
  await iam.refused('GetPolicy', { PolicyArn: none }, 'NoSuchEntityException');
  await iam.refused('GetPolicy', { PolicyArn: `arn:aws:iam::${account}:role/none` }, 'InvalidInputException');
  await iam.ok(
    'ListPolicies',
    { Scope: 'Local' },
    { Policies: [{ ...Policy, Description: undefined, Tags: undefined }], IsTruncated: false, Marker: undefined },
  );
  await iam.pages('ListPolicies', {}, 'Policies', 3);
  await iam.refused('ListPolicies', { Scope: 'Some' }, 'ValidationError');
}

async function versions(iam) {
  const PolicyArn = own;
  const input = { PolicyArn, PolicyDocument: allow(['ecr:*', 'ssm:*']), SetAsDefault: true };
  await iam.ok(
    'CreatePolicyVersion',
    input,
    { PolicyVersion: { VersionId: 'v2', IsDefaultVersion: true, CreateDate: Date, Document: undefined } },
  );
  const { PolicyVersion } = await iam.ok(
    'GetPolicyVersion',
    { PolicyArn, VersionId: 'v1' },
    { PolicyVersion: { VersionId: 'v1', IsDefaultVersion: false, CreateDate: Date } },
  );
  if (decodeURIComponent(PolicyVersion.Document) !== allow('ecr:*'))
    iam.report('GetPolicyVersion', 'the document', `it came back as ${PolicyVersion.Document}`);
  await iam.refused('GetPolicyVersion', { PolicyArn, VersionId: 'v9' }, 'NoSuchEntityException');
  await iam.refused('GetPolicyVersion', { PolicyArn, VersionId: '1' }, 'ValidationError');
  await iam.ok('SetDefaultPolicyVersion', { PolicyArn, VersionId: 'v1' }, {});
  await iam.refused('SetDefaultPolicyVersion', { PolicyArn, VersionId: 'v9' }, 'NoSuchEntityException');
  await iam.refused('DeletePolicyVersion', { PolicyArn, VersionId: 'v1' }, 'DeleteConflictException');
  for (let i = 0; i < 3; i++) await iam.send('CreatePolicyVersion', input);
  await iam.refused('CreatePolicyVersion', input, 'LimitExceededException', /up to 5 versions/);
  await iam.refused('CreatePolicyVersion', { ...input, PolicyArn: powerUser }, 'AccessDenied');
  await iam.pages('ListPolicyVersions', { PolicyArn }, 'Versions', 5);
  await iam.refused('ListPolicyVersions', { PolicyArn: none }, 'NoSuchEntityException');
  await iam.refused('DeletePolicy', { PolicyArn }, 'DeleteConflictException', /more than one version/);
  for (const VersionId of ['v1', 'v2', 'v3', 'v4']) await iam.ok('DeletePolicyVersion', { PolicyArn, VersionId }, {});
}

async function attached(iam) {
  const AttachedPolicies = [
    { PolicyName: 'boundary', PolicyArn: own },
    { PolicyName: 'PowerUserAccess', PolicyArn: powerUser },
  ];
  for (const { PolicyArn } of [...AttachedPolicies, ...AttachedPolicies])
    await iam.ok('AttachRolePolicy', { RoleName, PolicyArn }, {}); // idempotent
  await iam.refused('AttachRolePolicy', { RoleName, PolicyArn: none }, 'NoSuchEntityException', /not attachable/);
  await iam.refused('AttachRolePolicy', { RoleName, PolicyArn: 'x'.repeat(20) }, 'InvalidInputException');
  await iam.ok('ListAttachedRolePolicies', { RoleName }, { AttachedPolicies, IsTruncated: false });
  await iam.ok(
    'ListAttachedRolePolicies',
    { RoleName, PathPrefix: '/ci/' },
    { AttachedPolicies: AttachedPolicies.slice(0, 1) },
  );
  await iam.pages('ListAttachedRolePolicies', { RoleName }, 'AttachedPolicies', 2);
  await iam.ok(
    'ListPolicies',
    { OnlyAttached: true, Scope: 'AWS' },
    { Policies: [{ Arn: powerUser, AttachmentCount: 1 }] },
  );
  await iam.refused('DeletePolicy', { PolicyArn: own }, 'DeleteConflictException', /attached to entities/);
  await iam.refused('DeleteRole', { RoleName }, 'DeleteConflictException', /detach/);
  for (const { PolicyArn } of AttachedPolicies) await iam.ok('DetachRolePolicy', { RoleName, PolicyArn }, {});
  await iam.refused('DetachRolePolicy', { RoleName, PolicyArn: own }, 'NoSuchEntityException');
}

async function boundaries(iam) {
  await iam.ok('PutRolePermissionsBoundary', { RoleName, PermissionsBoundary: powerUser }, {});
  await iam.refused('PutRolePermissionsBoundary', { RoleName, PermissionsBoundary: none }, 'NoSuchEntityException');
  await iam.ok('GetRole', { RoleName }, { Role: { PermissionsBoundary: { PermissionsBoundaryArn: powerUser } } });
  await iam.ok('ListRoles', { PathPrefix: '/judge/' }, { Roles: [{ RoleName, PermissionsBoundary: undefined }] });
  await iam.ok('DeleteRolePermissionsBoundary', { RoleName }, {});
  await iam.refused('DeleteRolePermissionsBoundary', { RoleName }, 'NoSuchEntityException');
}

async function tags(iam) {
  await iam.ok('TagRole', { RoleName, Tags: [{ Key: 'Team', Value: 'others' }, { Key: 'slipway', Value: '' }] }, {});
  await iam.ok('TagRole', { RoleName, Tags: team }, {}); // in place of the other
  await iam.refused('TagRole', { RoleName, Tags: [...team, ...team] }, 'InvalidInputException', /Duplicate/);
  await iam.refused('TagRole', { RoleName: 'nobody', Tags: team }, 'NoSuchEntityException');
  await iam.ok('ListRoleTags', { RoleName }, { Tags: [{ Key: 'slipway', Value: '' }, ...team], IsTruncated: false });
  await iam.pages('ListRoleTags', { RoleName }, 'Tags', 2);
  await iam.refused('ListRoleTags', { RoleName: 'nobody' }, 'NoSuchEntityException');
  await iam.ok('UntagRole', { RoleName, TagKeys: ['slipway', 'none'] }, {});
  await iam.refused('UntagRole', { RoleName: 'nobody', TagKeys: ['team'] }, 'NoSuchEntityException');
  await iam.ok('GetRole', { RoleName }, { Role: { Tags: team } });
  const made = await iam.send('CreateOpenIDConnectProvider', { Url: 'https://issuer.example/tagged' });
  const { OpenIDConnectProviderArn } = made;
  await iam.ok('TagOpenIDConnectProvider', { OpenIDConnectProviderArn, Tags: team }, {});
  await iam.ok('GetOpenIDConnectProvider', { OpenIDConnectProviderArn }, { Tags: team });
  await iam.send('DeleteOpenIDConnectProvider', { OpenIDConnectProviderArn });
  await iam.refused('TagOpenIDConnectProvider', { OpenIDConnectProviderArn, Tags: team }, 'NoSuchEntityException');
}

async function roleSettings(iam) {
  await iam.ok('UpdateRole', { RoleName, MaxSessionDuration: 7200 }, {});
  await iam.ok('UpdateRole', { RoleName, Description: 'runs' }, {}); // and leaves the rest
  await iam.ok('GetRole', { RoleName }, { Role: { Description: 'runs', MaxSessionDuration: 7200 } });
  await iam.refused('UpdateRole', { RoleName, MaxSessionDuration: 60 }, 'ValidationError');
  await iam.refused('UpdateRole', { RoleName: 'nobody', Description: 'x' }, 'NoSuchEntityException');
}

async function linkedRoles(iam) {
  const AWSServiceName = 'network.bedrock-agentcore.amazonaws.com';
  const name = 'AWSServiceRoleForBedrockAgentCoreNetwork';
  await iam.ok(
    'CreateServiceLinkedRole',
    { AWSServiceName },
    {
      Role: {
        Path: `/aws-service-role/${AWSServiceName}/`,
        RoleName: name,
        RoleId: /^AROA/,
        Arn: `arn:aws:iam::${account}:role/aws-service-role/${AWSServiceName}/${name}`,
        CreateDate: Date,
        AssumeRolePolicyDocument: /^%7B/,
      },
    },
  );
  await iam.refused('CreateServiceLinkedRole', { AWSServiceName }, 'InvalidInputException', /has been taken/);
  await iam.refused('DeleteRole', { RoleName: name }, 'UnmodifiableEntityException');
}
