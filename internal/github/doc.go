// Package github is a GitHub Actions job seen from within: what the job's
// variables say of it, its OIDC token, and the commands by which a job talks
// to the runner (annotations, groups, masks, outputs, the step summary).
//
// It reads variables through the function it is handed, never from the
// process. It refuses to cache or store a token, to send the request token
// over plain HTTP to anything but loopback, to follow a redirect with it, and
// to verify a token: Claims decodes one to explain it, and who trusts a token
// is for AWS to say.
package github
