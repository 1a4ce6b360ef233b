import * as cdk from 'aws-cdk-lib/core';
import * as ec2 from 'aws-cdk-lib/aws-ec2';
import * as ecr from 'aws-cdk-lib/aws-ecr';
import * as iam from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';

import { agentName, Environment } from './environments';

/**
 * What has to be there before the first image: its repository, the role that
 * the agent runs as, and its network.
 */
export class BaseStack extends cdk.Stack {
  readonly repository: ecr.Repository;
  readonly executionRole: iam.Role;
  readonly securityGroup: ec2.SecurityGroup;
  readonly subnetIds: string[];

  constructor(scope: Construct, id: string, environment: Environment) {
    super(scope, id, { env: { account: environment.account, region: environment.region } });

    this.repository = this.imageRepository(environment);
    this.executionRole = this.agentRole(environment);

    const vpc = ec2.Vpc.fromLookup(this, 'Vpc', { vpcName: environment.vpcName });
    this.subnetIds = vpc.selectSubnets({ subnetType: ec2.SubnetType.PRIVATE_WITH_EGRESS }).subnetIds;
    // Layers of images come from S3, whose addresses are in no VPC: egress to
    // the VPC's own addresses would be too little, gateway endpoint or not.
    this.securityGroup = new ec2.SecurityGroup(this, 'SecurityGroup', {
      vpc,
      description: `${agentName} ${environment.name}`,
      allowAllOutbound: false,
    });
    this.securityGroup.addEgressRule(ec2.Peer.anyIpv4(), ec2.Port.tcp(443), 'HTTPS: AWS');

    new cdk.CfnOutput(this, 'ExecutionRoleArn', { value: this.executionRole.roleArn });
    new cdk.CfnOutput(this, 'RepositoryUri', { value: this.repository.repositoryUri });
    new cdk.CfnOutput(this, 'SecurityGroupId', { value: this.securityGroup.securityGroupId });
    new cdk.CfnOutput(this, 'SubnetIds', { value: this.subnetIds.join(',') });
  }

  /** Tags of revisions never move; latest does. What has a tag may be gone back to: it stays. */
  private imageRepository(environment: Environment): ecr.Repository {
    const repository = new ecr.Repository(this, 'Repository', {
      repositoryName: `${agentName.toLowerCase()}/runtime-${environment.name}`,
      imageTagMutability: ecr.TagMutability.IMMUTABLE_WITH_EXCLUSION,
      imageTagMutabilityExclusionFilters: [ecr.ImageTagMutabilityExclusionFilter.wildcard('latest')],
      imageScanOnPush: true,
      lifecycleRules: [
        {
          description: 'Leftovers of interrupted pushes',
          tagStatus: ecr.TagStatus.UNTAGGED,
          maxImageAge: cdk.Duration.days(30),
        },
      ],
    });
    const pullers = environment.pulledBy ?? [];
    if (pullers.length > 0) {
      // As slipway bootstrap writes it, which then finds nothing to change. The
      // principals are accounts, held to roles by a condition: ECR refuses a
      // principal that does not exist yet.
      const accounts = new Set(pullers.map((role) => cdk.Arn.split(role, cdk.ArnFormat.SLASH_RESOURCE_NAME).account!));
      repository.addToResourcePolicy(
        new iam.PolicyStatement({
          sid: 'PullFromOtherAccounts',
          principals: [...accounts].map((account) => new iam.AccountPrincipal(account)),
          actions: ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer'],
          conditions: { ArnEquals: { 'aws:PrincipalArn': pullers } },
        }),
      );
    }
    return repository;
  }

  /**
   * The role of the agent's own code, not the one that deploys it. AgentCore
   * may take it on behalf of this account alone.
   */
  private agentRole(environment: Environment): iam.Role {
    const runtimes = this.formatArn({ service: 'bedrock-agentcore', resource: '*' });
    const role = new iam.Role(this, 'ExecutionRole', {
      roleName: `${agentName}ExecutionRole-${environment.name}`,
      assumedBy: new iam.ServicePrincipal('bedrock-agentcore.amazonaws.com', {
        conditions: {
          StringEquals: { 'aws:SourceAccount': this.account },
          ArnLike: { 'aws:SourceArn': runtimes },
        },
      }),
    });
    const runtimeName = `${agentName}_${environment.name}`;
    const logGroup = this.formatArn({
      service: 'logs',
      resource: 'log-group',
      resourceName: `/aws/bedrock-agentcore/runtimes/${runtimeName}-*`,
      arnFormat: cdk.ArnFormat.COLON_RESOURCE_NAME,
    });
    const directory = this.formatArn({
      service: 'bedrock-agentcore',
      resource: 'workload-identity-directory',
      resourceName: 'default',
    });
    const allow = (sid: string, resources: string[], actions: string[], conditions?: iam.Conditions) =>
      role.addToPolicy(new iam.PolicyStatement({ sid, resources, actions, conditions }));

    allow('EcrLogin', ['*'], ['ecr:GetAuthorizationToken']);
    allow('PullImage', [this.repository.repositoryArn], ['ecr:BatchGetImage', 'ecr:GetDownloadUrlForLayer']);
    allow('MakeLogGroup', [logGroup], ['logs:CreateLogGroup', 'logs:DescribeLogStreams']);
    allow('WriteLogs', [`${logGroup}:log-stream:*`], ['logs:CreateLogStream', 'logs:PutLogEvents']);
    allow('Trace', ['*'], [
      'xray:PutTraceSegments',
      'xray:PutTelemetryRecords',
      'xray:GetSamplingRules',
      'xray:GetSamplingTargets',
    ]);
    allow('PutMetrics', ['*'], ['cloudwatch:PutMetricData'], {
      StringEquals: { 'cloudwatch:namespace': 'bedrock-agentcore' },
    });
    allow('ActAsWorkload', [directory, `${directory}/workload-identity/${runtimeName}-*`], [
      'bedrock-agentcore:GetWorkloadAccessToken',
      'bedrock-agentcore:GetWorkloadAccessTokenForJWT',
    ]);
    return role;
  }
}
