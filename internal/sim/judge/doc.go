// Package judge has the local cloud judged by programs that no one here wrote:
// the OCI conformance suite, AWS's JavaScript SDK, botocore's models of each
// answer, the registry clients that people use, and moto, where AWS's
// documentation says that it is wrong.
//
// It is tests alone. Each judge gives a verdict, whose counts docs/judges.md
// publishes and is held to; each is run against a cloud that was broken on
// purpose too, and has to see it. A judge that is not on the machine is skipped
// loudly, or fails where SLIPWAY_REQUIRE names it.
package judge
