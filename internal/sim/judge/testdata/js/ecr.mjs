import { createHash } from 'node:crypto';
import * as sdk from '@aws-sdk/client-ecr';
import { Judge } from './harness.mjs';

const registryId = '111122223333';
const sha256 = (text) => 'sha256:' + createHash('sha256').update(text).digest('hex');

// ecr works on judge/agent, which holds the agent's image, and on a repository
// of its own.
export default async function ecr(env) {
  const ecr = new Judge('ECR', sdk, sdk.ECRClient);
  await repositories(ecr);
  await images(ecr, env.JUDGE_IMAGE.split('@')[1]);
  await layers(ecr);
  await settings(ecr);
  await documents(ecr);
  await tags(ecr);
  await ecr.ok('DeleteRepository', { repositoryName: 'judge/one' }, { repository: { repositoryName: 'judge/one' } });
  await ecr.refused('DeleteRepository', { repositoryName: 'judge/one' }, 'RepositoryNotFoundException');
}

async function repositories(ecr) {
  const repositoryName = 'judge/one';
  const repository = {
    repositoryName,
    registryId,
    repositoryArn: `arn:aws:ecr:us-east-1:${registryId}:repository/judge/one`,
    repositoryUri: `${registryId}.dkr.ecr.us-east-1.amazonaws.com/judge/one`,
    createdAt: Date,
    imageTagMutability: 'MUTABLE',
    imageScanningConfiguration: { scanOnPush: true },
    encryptionConfiguration: { encryptionType: 'AES256' },
  };
  await ecr.ok(
    'CreateRepository',
    { repositoryName, imageScanningConfiguration: { scanOnPush: true } },
    { repository },
  );
  await ecr.refused('CreateRepository', { repositoryName }, 'RepositoryAlreadyExistsException');
  await ecr.refused('CreateRepository', { repositoryName: 'Judge' }, 'InvalidParameterException');
  await ecr.ok(
    'DescribeRepositories',
    { repositoryNames: [repositoryName] },
    { repositories: [repository], nextToken: undefined },
  );
  await ecr.pages('DescribeRepositories', {}, 'repositories', 2);
  await ecr.refused('DescribeRepositories', { repositoryNames: ['none'] }, 'RepositoryNotFoundException');
  const filters = [{ filterType: 'WILDCARD', filter: 'latest' }];
  await ecr.ok(
    'PutImageTagMutability',
    { repositoryName, imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION', imageTagMutabilityExclusionFilters: filters },
    {
      registryId,
      repositoryName,
      imageTagMutability: 'IMMUTABLE_WITH_EXCLUSION',
      imageTagMutabilityExclusionFilters: filters,
    },
  );
  await ecr.refused(
    'PutImageTagMutability',
    { repositoryName, imageTagMutability: 'IMMUTABLE', imageTagMutabilityExclusionFilters: filters },
    'InvalidParameterException',
  );
  const { authorizationData } = await ecr.ok(
    'GetAuthorizationToken',
    {},
    { authorizationData: [{ authorizationToken: String, expiresAt: Date, proxyEndpoint: /^https?:/ }] },
  );
  if (!/^AWS:./.test(atob(authorizationData[0].authorizationToken)))
    ecr.report('GetAuthorizationToken', 'AWS:password', 'it is something else');
}

async function images(ecr, imageDigest) {
  const repositoryName = 'judge/agent';
  const { images } = await ecr.ok(
    'BatchGetImage',
    {
      repositoryName,
      imageIds: [{ imageDigest }, { imageTag: 'none' }],
      acceptedMediaTypes: [
        'application/vnd.oci.image.manifest.v1+json',
        'application/vnd.docker.distribution.manifest.v2+json',
      ],
    },
    {
      images: [
        { registryId, repositoryName, imageId: { imageDigest }, imageManifest: String, imageManifestMediaType: String },
      ],
      failures: [{ imageId: { imageTag: 'none' }, failureCode: 'ImageNotFound', failureReason: String }],
    },
  );
  const { imageManifest, imageManifestMediaType } = images[0];
  const put = { repositoryName, imageManifest, imageManifestMediaType, imageDigest };
  await ecr.ok(
    'PutImage',
    { ...put, imageTag: 'stable' },
    {
      image: {
        registryId,
        repositoryName,
        imageId: { imageDigest, imageTag: 'stable' },
        imageManifest,
        imageManifestMediaType,
      },
    },
  );
  await ecr.refused('PutImage', { ...put, imageTag: 'stable' }, 'ImageAlreadyExistsException');
  await ecr.refused(
    'PutImage',
    { ...put, imageDigest: sha256('other'), imageTag: 'x' },
    'ImageDigestDoesNotMatchException',
  );
  await ecr.refused('PutImage', { ...put, repositoryName: 'judge/one', imageTag: 'x' }, 'LayersNotFoundException');
  await ecr.refused(
    'BatchGetImage',
    { repositoryName: 'none', imageIds: [{ imageDigest }] },
    'RepositoryNotFoundException',
  );
  await ecr.ok(
    'DescribeImages',
    { repositoryName, imageIds: [{ imageTag: 'stable' }] },
    {
      imageDetails: [
        {
          registryId,
          repositoryName,
          imageDigest,
          imageSizeInBytes: Number,
          imagePushedAt: Date,
          imageManifestMediaType,
          artifactMediaType: String,
          imageTags: ['one', 'stable'],
        },
      ],
    },
  );
  await ecr.pages('DescribeImages', { repositoryName }, 'imageDetails', 1);
  await ecr.refused('DescribeImages', { repositoryName, imageIds: [{ imageTag: 'none' }] }, 'ImageNotFoundException');
  await ecr.ok(
    'ListImages',
    { repositoryName, filter: { tagStatus: 'TAGGED' } },
    {
      imageIds: [
        { imageDigest, imageTag: 'one' },
        { imageDigest, imageTag: 'stable' },
      ],
    },
  );
  await ecr.pages('ListImages', { repositoryName }, 'imageIds', 2);
  await ecr.refused('ListImages', { repositoryName: 'none' }, 'RepositoryNotFoundException');
  const [{ digest, size }] = JSON.parse(imageManifest).layers;
  await ecr.ok(
    'BatchCheckLayerAvailability',
    { repositoryName, layerDigests: [digest, sha256('none'), 'nonsense'] },
    {
      layers: [
        { layerDigest: digest, layerAvailability: 'AVAILABLE', layerSize: size },
        { layerDigest: sha256('none'), layerAvailability: 'UNAVAILABLE' },
      ],
      failures: [{ layerDigest: 'nonsense', failureCode: 'InvalidLayerDigest', failureReason: String }],
    },
  );
  const { downloadUrl } = await ecr.ok(
    'GetDownloadUrlForLayer',
    { repositoryName, layerDigest: digest },
    { layerDigest: digest, downloadUrl: /^https?:/ },
  );
  const content = Buffer.from(await (await fetch(downloadUrl)).arrayBuffer());
  ecr.report(
    'GetDownloadUrlForLayer',
    'the layer',
    sha256(content) === digest ? '' : `${content.length} bytes of ${sha256(content)}`,
  );
  await ecr.refused(
    'GetDownloadUrlForLayer',
    { repositoryName, layerDigest: sha256('none') },
    'LayersNotFoundException',
  );
  await ecr.refused('BatchCheckLayerAvailability', { repositoryName, layerDigests: [] }, 'InvalidParameterException');
  await ecr.ok(
    'BatchDeleteImage',
    { repositoryName, imageIds: [{ imageTag: 'stable' }, { imageTag: 'stable' }] },
    {
      imageIds: [{ imageDigest, imageTag: 'stable' }],
      failures: [{ imageId: { imageTag: 'stable' }, failureCode: 'ImageNotFound', failureReason: String }],
    },
  );
  await ecr.refused('BatchDeleteImage', { repositoryName, imageIds: [] }, 'InvalidParameterException');
  await ecr.refused('DeleteRepository', { repositoryName }, 'RepositoryNotEmptyException');
}

// layers uploads one by API.
async function layers(ecr) {
  const repositoryName = 'judge/one';
  const layer = Buffer.from('a layer');
  const layerDigest = sha256(layer);
  const { uploadId } = await ecr.ok('InitiateLayerUpload', { repositoryName }, { uploadId: String, partSize: Number });
  await ecr.refused('InitiateLayerUpload', { repositoryName: 'none' }, 'RepositoryNotFoundException');
  const upload = { repositoryName, uploadId };
  const part = { ...upload, partFirstByte: 0, partLastByte: layer.length - 1, layerPartBlob: layer };
  await ecr.refused('CompleteLayerUpload', { ...upload, layerDigests: [layerDigest] }, 'EmptyUploadException');
  await ecr.ok('UploadLayerPart', part, { registryId, repositoryName, uploadId, lastByteReceived: layer.length - 1 });
  await ecr.refused('UploadLayerPart', part, 'InvalidLayerPartException');
  await ecr.refused('UploadLayerPart', { ...part, uploadId: sha256('none').slice(7, 43) }, 'UploadNotFoundException');
  await ecr.ok(
    'CompleteLayerUpload',
    { ...upload, layerDigests: [layerDigest] },
    { registryId, repositoryName, uploadId, layerDigest },
  );
  await ecr.refused('CompleteLayerUpload', { ...upload, layerDigests: [layerDigest] }, 'UploadNotFoundException');
  await ecr.refused('GetDownloadUrlForLayer', { repositoryName, layerDigest }, 'LayerInaccessibleException');
}

async function settings(ecr) {
  const name = 'BLOB_MOUNTING';
  await ecr.ok('GetAccountSetting', { name }, { name, value: 'DISABLED' });
  await ecr.refused('GetAccountSetting', { name: 'NONE' }, 'InvalidParameterException');
  await ecr.ok('PutAccountSetting', { name, value: 'ENABLED' }, { name, value: 'ENABLED' });
  await ecr.refused('PutAccountSetting', { name, value: 'on' }, 'ValidationException');
}

// documents are a repository's policy and its lifecycle policy.
async function documents(ecr) {
  const repositoryName = 'judge/one';
  const one = { registryId, repositoryName };
  const policyText = JSON.stringify({
    Version: '2012-10-17',
    Statement: [
      {
        Sid: 'pull',
        Effect: 'Allow',
        Principal: { AWS: 'arn:aws:iam::444455556666:root' },
        Action: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
      },
    ],
  });
  const printed = /^\{\n {2}"Version" : "2012-10-17",\n {2}"Statement" : \[ \{\n {4}"Sid" : "pull"/;
  await ecr.refused('GetRepositoryPolicy', { repositoryName }, 'RepositoryPolicyNotFoundException');
  await ecr.ok('SetRepositoryPolicy', { repositoryName, policyText }, { ...one, policyText: printed });
  const got = await ecr.ok('GetRepositoryPolicy', { repositoryName }, { ...one, policyText: printed });
  if (JSON.stringify(JSON.parse(got.policyText)) !== policyText)
    ecr.report('GetRepositoryPolicy', 'the policy', `it came back as ${got.policyText}`);
  const withResource = policyText.replace('"Sid":"pull"', '"Resource":"*"');
  for (const bad of ['{', withResource, policyText.replace('444455556666:root', '444455556666:*')])
    await ecr.refused(
      'SetRepositoryPolicy',
      { repositoryName, policyText: bad },
      'InvalidParameterException',
      /Invalid repository policy provided/,
    );
  await ecr.ok('DeleteRepositoryPolicy', { repositoryName }, { ...one, policyText: printed });
  await ecr.refused('DeleteRepositoryPolicy', { repositoryName }, 'RepositoryPolicyNotFoundException');

  const rule = {
    rulePriority: 1,
    description: 'leftovers of interrupted pushes',
    selection: { tagStatus: 'untagged', countType: 'sinceImagePushed', countUnit: 'days', countNumber: 14 },
    action: { type: 'expire' },
  };
  const lifecyclePolicyText = JSON.stringify({ rules: [rule] });
  await ecr.refused('GetLifecyclePolicy', { repositoryName }, 'LifecyclePolicyNotFoundException');
  await ecr.ok(
    'PutLifecyclePolicy',
    { repositoryName, lifecyclePolicyText: JSON.stringify({ rules: [rule] }, null, 4) },
    { ...one, lifecyclePolicyText },
  );
  for (const wrong of [{ rulePriority: 0 }, { action: { type: 'keep' } }, { note: 'of no schema' }, { action: null }])
    await ecr.refused(
      'PutLifecyclePolicy',
      { repositoryName, lifecyclePolicyText: JSON.stringify({ rules: [{ ...rule, ...wrong }] }) },
      'InvalidParameterException',
      /Lifecycle policy validation failure/,
    );
  await ecr.ok('GetLifecyclePolicy', { repositoryName }, { ...one, lifecyclePolicyText, lastEvaluatedAt: Date });
  await ecr.ok('DeleteLifecyclePolicy', { repositoryName }, { ...one, lifecyclePolicyText, lastEvaluatedAt: Date });
  await ecr.refused('DeleteLifecyclePolicy', { repositoryName }, 'LifecyclePolicyNotFoundException');
}

async function tags(ecr) {
  const repositoryName = 'judge/one';
  const resourceArn = `arn:aws:ecr:us-east-1:${registryId}:repository/judge/one`;
  const team = { Key: 'team', Value: 'agents' };
  await ecr.ok('ListTagsForResource', { resourceArn }, { tags: [] });
  await ecr.ok('TagResource', { resourceArn, tags: [team, { Key: 'slipway', Value: '' }] }, {});
  await ecr.refused('TagResource', { resourceArn, tags: [team, team] }, 'InvalidTagParameterException');
  await ecr.refused('TagResource', { resourceArn: resourceArn + 'x', tags: [team] }, 'RepositoryNotFoundException');
  await ecr.ok('UntagResource', { resourceArn, tagKeys: ['slipway', 'none'] }, {});
  await ecr.refused('UntagResource', { resourceArn: 'judge/one', tagKeys: ['team'] }, 'InvalidParameterException');
  await ecr.ok('ListTagsForResource', { resourceArn }, { tags: [team] });
  await ecr.refused('ListTagsForResource', { resourceArn: resourceArn + 'x' }, 'RepositoryNotFoundException');
  const imageScanningConfiguration = { scanOnPush: false };
  await ecr.ok(
    'PutImageScanningConfiguration',
    { repositoryName, imageScanningConfiguration },
    { registryId, repositoryName, imageScanningConfiguration },
  );
  await ecr.refused(
    'PutImageScanningConfiguration',
    { repositoryName: 'none', imageScanningConfiguration },
    'RepositoryNotFoundException',
  );
}
