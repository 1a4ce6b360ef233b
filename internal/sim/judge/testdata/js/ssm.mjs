import * as sdk from '@aws-sdk/client-ssm';
import { Judge } from './harness.mjs';

export default async function ssm() {
  const ssm = new Judge('SSM', sdk, sdk.SSMClient);
  const Name = '/agent/dev/runtime-id';
  const arn = 'arn:aws:ssm:us-east-1:111122223333:parameter/agent/dev/runtime-id';
  await ssm.ok(
    'PutParameter',
    { Name, Value: 'one', Type: 'String', Description: 'which runtime' },
    { Version: 1, Tier: 'Standard' },
  );
  await ssm.refused('PutParameter', { Name, Value: 'two', Type: 'String' }, 'ParameterAlreadyExists');
  await ssm.ok('PutParameter', { Name, Value: 'two', Overwrite: true }, { Version: 2 });
  await ssm.refused('PutParameter', { Name: '/p', Value: 'x', Type: 'Text' }, 'ValidationException');
  await ssm.ok('PutParameter', { Name: '/agent/dev/key', Value: 'hidden', Type: 'SecureString' }, { Version: 1 });
  await ssm.ok(
    'GetParameter',
    { Name },
    {
      Parameter: {
        Name,
        Type: 'String',
        Value: 'two',
        Version: 2,
        LastModifiedDate: Date,
        ARN: arn,
        DataType: 'text',
        Selector: undefined,
      },
    },
  );
  await ssm.ok(
    'GetParameter',
    { Name: `${Name}:1` },
    { Parameter: { Name, Value: 'one', Version: 1, Selector: ':1' } },
  );
  await ssm.ok(
    'GetParameter',
    { Name: '/agent/dev/key', WithDecryption: true },
    { Parameter: { Type: 'SecureString', Value: 'hidden' } },
  );
  await ssm.refused('GetParameter', { Name: '/agent/dev/none' }, 'ParameterNotFound', /^/);
  await ssm.refused('GetParameter', { Name: `${Name}:9` }, 'ParameterVersionNotFound');
  await ssm.ok(
    'GetParameters',
    { Names: [Name, '/agent/dev/none'] },
    { Parameters: [{ Name, Value: 'two' }], InvalidParameters: ['/agent/dev/none'] },
  );
  await ssm.refused('GetParameters', { Names: [] }, 'ValidationException');
  await ssm.ok(
    'GetParameterHistory',
    { Name },
    {
      Parameters: [
        {
          Name,
          Value: 'one',
          Version: 1,
          LastModifiedUser: /^arn:aws:iam::/,
          LastModifiedDate: Date,
          Description: 'which runtime',
          Labels: [],
          Policies: [],
          Tier: 'Standard',
        },
        { Name, Value: 'two', Version: 2 },
      ],
    },
  );
  await ssm.pages('GetParameterHistory', { Name }, 'Parameters', 2);
  await ssm.refused('GetParameterHistory', { Name: '/agent/dev/none' }, 'ParameterNotFound', /^/);
  await ssm.ok(
    'GetParametersByPath',
    { Path: '/agent', Recursive: true },
    {
      Parameters: [
        { Name: '/agent/dev/key', Type: 'SecureString' },
        { Name, Value: 'two', LastModifiedDate: Date },
      ],
      NextToken: undefined,
    },
  );
  await ssm.ok('GetParametersByPath', { Path: '/agent' }, { Parameters: [] });
  await ssm.pages('GetParametersByPath', { Path: '/agent/dev' }, 'Parameters', 2);
  await ssm.refused('GetParametersByPath', { Path: 'agent' }, 'ValidationException');
  await ssm.ok(
    'DescribeParameters',
    {},
    {
      Parameters: [
        { Name: '/agent/dev/key', Type: 'SecureString', KeyId: 'alias/aws/ssm' },
        {
          Name,
          ARN: arn,
          Type: 'String',
          Version: 2,
          LastModifiedDate: Date,
          LastModifiedUser: String,
          Tier: 'Standard',
          DataType: 'text',
          Policies: [],
        },
      ],
    },
  );
  await ssm.pages('DescribeParameters', {}, 'Parameters', 2);
  await ssm.refused('DescribeParameters', { MaxResults: 51 }, 'ValidationException');
  await ssm.ok('DeleteParameter', { Name }, {});
  await ssm.refused('DeleteParameter', { Name }, 'ParameterNotFound', /^/);
  await ssm.ok(
    'DeleteParameters',
    { Names: [Name, '/agent/dev/key'] },
    { DeletedParameters: ['/agent/dev/key'], InvalidParameters: [Name] },
  );
}
