// What the judge says of each call, and how it says it: a JSON object a line,
// {service, operation, expects, error}. No error: the cloud did as expected.

// Judge calls one service by its SDK and checks what comes back.
export class Judge {
  // name is the service's in docs/local-cloud.md; sdk is the SDK's module.
  constructor(name, sdk, Client) {
    this.name = name;
    this.sdk = sdk;
    this.client = new Client({ maxAttempts: 1 });
  }

  send(operation, input) {
    return this.client.send(new this.sdk[operation + 'Command'](input));
  }

  // ok calls an operation whose answer has to match shape, and returns it. An
  // error ends the service's judgement: later calls need the answer.
  async ok(operation, input, shape) {
    let out;
    try {
      out = await this.send(operation, input);
    } catch (err) {
      this.report(operation, 'an answer', `${err.name}: ${err.message}`);
      throw new Error(`${operation} failed`, { cause: err });
    }
    const wrong = differences(out, shape, operation);
    if (!out.$metadata.requestId) wrong.push('there is no request id');
    this.report(operation, 'an answer', wrong.join('; '));
    return out;
  }

  // refused calls an operation that has to throw: the SDK's own class of that
  // name where its model declares one, else the service's general exception.
  async refused(operation, input, exception, message = /./) {
    let error = 'it was accepted';
    try {
      await this.send(operation, input);
    } catch (err) {
      const declared = this.sdk[exception];
      error = '';
      if (
        err.name !== exception ||
        (declared ? !(err instanceof declared) : !err.$fault) ||
        !message.test(err.message)
      ) {
        error = `threw ${err.constructor.name} ${err.name}: ${err.message}`;
      }
    }
    this.report(operation, exception, error);
  }

  // pages reads a list to its end by pages of one, with the SDK's paginator.
  async pages(operation, input, list, count) {
    const seen = [];
    for await (const page of this.sdk['paginate' + operation]({ client: this.client, pageSize: 1 }, input)) {
      if (page[list].length > 1) seen.push('a page has more than one item');
      seen.push(...page[list].map((item) => JSON.stringify(item)));
    }
    const whole = seen.length === count && new Set(seen).size === count;
    this.report(operation, 'pages', whole ? '' : `expected ${count} items in pages of one, got ${seen.join(' ')}`);
  }

  // until repeats a call until its answer matches shape.
  async until(operation, input, shape) {
    for (const deadline = Date.now() + 60_000; ;) {
      const wrong = differences(await this.send(operation, input), shape, operation);
      if (wrong.length === 0) return;
      if (Date.now() > deadline) throw new Error(`${operation} never answered what was awaited: ${wrong.join('; ')}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  report(operation, expects, error) {
    console.log(JSON.stringify({ service: this.name, operation, expects, error }));
  }
}

// differences lists what of an answer does not match a shape: a value stands
// for itself, undefined for nothing, a RegExp or a type (String, Date …) for
// what it describes, a list for a list of that length, an object for one that
// has those members.
function differences(value, shape, path) {
  if (shape instanceof RegExp) {
    return typeof value === 'string' && shape.test(value) ? [] : [`${path} is ${show(value)}, not ${shape}`];
  }
  if (typeof shape === 'function') {
    const fits =
      value !== undefined &&
      value !== null &&
      Object(value) instanceof shape &&
      !(value instanceof Date && isNaN(value));
    return fits ? [] : [`${path} is ${show(value)}, no ${shape.name}`];
  }
  if (Array.isArray(shape)) {
    if (!Array.isArray(value) || value.length !== shape.length)
      return [`${path} is ${show(value)}, no list of ${shape.length}`];
    return shape.flatMap((item, i) => differences(value[i], item, `${path}[${i}]`));
  }
  if (shape && typeof shape === 'object') {
    if (!value || typeof value !== 'object') return [`${path} is ${show(value)}`];
    return Object.entries(shape).flatMap(([name, member]) => differences(value[name], member, `${path}.${name}`));
  }
  return value === shape ? [] : [`${path} is ${show(value)}, not ${show(shape)}`];
}

const show = (value) => JSON.stringify(value) ?? String(value);
