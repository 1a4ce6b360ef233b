// Takes what the local cloud serves of GitHub's REST API out of GitHub's own
// OpenAPI description, as JSON Schema:
//
//   npm install --no-save @octokit/openapi@23.0.2 && node extract.mjs > openapi.json
//
// (MIT; @octokit/openapi is github/rest-api-description with octokit's patches.)
import { createRequire } from 'node:module';

const require = createRequire(process.cwd() + '/');
const api = require('@octokit/openapi/generated/api.github.com.json');
const repo = '/repos/{owner}/{repo}';
const environment = repo + '/environments/{environment_name}';
const run = repo + '/actions/runs/{run_id}';
const deployment = repo + '/deployments/{deployment_id}';
const settings = (under) => ({
  [under + '/variables']: ['get', 'post'],
  [under + '/variables/{name}']: ['get', 'patch', 'delete'],
  [under + '/secrets']: ['get'],
  [under + '/secrets/public-key']: ['get'],
  [under + '/secrets/{secret_name}']: ['get', 'put', 'delete'],
});
const wanted = {
  [repo]: ['get'],
  [repo + '/actions/oidc/customization/sub']: ['get', 'put'],
  '/orgs/{org}/actions/oidc/customization/sub': ['get', 'put'],
  [repo + '/branches']: ['get'],
  [repo + '/environments']: ['get'],
  [environment]: ['get', 'put', 'delete'],
  [environment + '/deployment-branch-policies']: ['get', 'post'],
  [environment + '/deployment-branch-policies/{branch_policy_id}']: ['get', 'put', 'delete'],
  ...settings(environment),
  ...settings(repo + '/actions'),
  '/user': ['get'],
  '/users/{username}': ['get'],
  '/orgs/{org}/teams/{team_slug}': ['get'],
  '/orgs/{org}/teams/{team_slug}/members': ['get'],
  [run]: ['get'],
  [run + '/attempts/{attempt_number}']: ['get'],
  [run + '/jobs']: ['get'],
  [run + '/attempts/{attempt_number}/jobs']: ['get'],
  [run + '/artifacts']: ['get'],
  [run + '/pending_deployments']: ['get', 'post'],
  [run + '/approvals']: ['get'],
  [run + '/rerun']: ['post'],
  [run + '/cancel']: ['post'],
  [repo + '/actions/runs']: ['get'],
  [repo + '/actions/workflows']: ['get'],
  [repo + '/actions/workflows/{workflow_id}']: ['get'],
  [repo + '/check-runs/{check_run_id}/annotations']: ['get'],
  [deployment.replace('/{deployment_id}', '')]: ['get', 'post'],
  [deployment]: ['get'],
  [deployment + '/statuses']: ['get', 'post'],
  [deployment + '/statuses/{status_id}']: ['get'],
};

// resolve follows references and says "null" where OpenAPI 3.0 says nullable.
function resolve(node, seen = []) {
  if (Array.isArray(node)) return node.map((n) => resolve(n, seen));
  if (node === null || typeof node !== 'object') return node;
  if (node.$ref) {
    if (seen.includes(node.$ref)) return {}; // a circle: anything
    const name = node.$ref.split('/').slice(1);
    return resolve(name.reduce((at, key) => at[key], api), [...seen, node.$ref]);
  }
  const schema = {};
  for (const [key, value] of Object.entries(node)) {
    if (['description', 'example', 'examples', 'nullable', 'default', 'title', 'deprecated', 'readOnly', 'format'].includes(key) && typeof value !== 'object') continue;
    if (key === 'examples' || key === 'example') continue;
    schema[key] = key === 'properties' ? Object.fromEntries(Object.entries(value).map(([k, v]) => [k, resolve(v, seen)])) : resolve(value, seen);
  }
  if (!node.nullable) return schema;
  return { anyOf: [{ type: 'null' }, schema] };
}

const operations = {};
for (const [path, methods] of Object.entries(wanted))
  for (const method of methods) {
    const op = api.paths[path][method];
    const body = op.requestBody?.content?.['application/json']?.schema;
    const responses = {};
    for (const [status, answer] of Object.entries(op.responses)) {
      const schema = resolve(answer).content?.['application/json']?.schema;
      responses[status] = schema ?? null;
    }
    operations[`${method.toUpperCase()} ${path}`] = { id: op.operationId, request: body ? resolve(body) : null, responses };
  }
console.log(JSON.stringify({ source: '@octokit/openapi 23.0.2', operations }));
