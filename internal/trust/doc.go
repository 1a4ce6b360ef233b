// Package trust holds IAM policy documents, trust and permission policies
// alike, as data. It evaluates them as IAM does, writes those that a deployment
// needs, no wider than it needs them, and audits those that are there.
//
// It reads strictly. encoding/json matches member names without regard to case
// and keeps the last of two equal ones, and a policy that lost its condition
// that way has let strangers in, so documents are read token by token: elements
// have exactly IAM's names, operators are known ones, and a repeated key is an
// error that names its place.
//
// It refuses what it can't judge, rather than guess: NotPrincipal, the
// operators for binary values, and elements or operators it does not know.
// Grants joins the policies of one role, boundary and session policy included;
// of resource policies of other services, and of the policies of an
// organisation, it knows nothing.
package trust
