// Reads workflows, and actions, as GitHub does: one a line on stdin, as
// {"path": "…", "content": "…"}; a line on stdout for each, as
// {"path": "…", "errors": ["…"]}.

import { register } from 'node:module';
import { createInterface } from 'node:readline';

register('./json.mjs', import.meta.url);
const parser = await import('@actions/workflow-parser');
const { parseAction } = await import('@actions/workflow-parser/actions/action-parser');

async function ask({ path, content }) {
  const trace = new parser.NoOperationTraceWriter();
  const file = { name: path, content };
  if (path.endsWith('action.yml')) {
    return parseAction(file, trace).context.errors.getErrors();
  }
  const parsed = parser.parseWorkflow(file, trace);
  const errors = parsed.context.errors.getErrors();
  if (errors.length > 0) {
    return errors;
  }
  await parser.convertWorkflowTemplate(parsed.context, parsed.value);
  return parsed.context.errors.getErrors();
}

for await (const line of createInterface({ input: process.stdin })) {
  const question = JSON.parse(line);
  let errors;
  try {
    errors = (await ask(question)).map((err) => err.message);
  } catch (err) {
    errors = [`failed: ${err.message}`];
  }
  console.log(JSON.stringify({ path: question.path, errors }));
}
