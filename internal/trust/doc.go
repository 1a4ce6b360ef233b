// Package trust holds IAM policy documents, trust and permission policies
// alike, as data, and evaluates them as IAM does.
//
// It reads strictly. encoding/json matches member names without regard to case
// and keeps the last of two equal ones, and a policy that lost its condition
// that way has let strangers in, so documents are read token by token: elements
// have exactly IAM's names, operators are known ones, and a repeated key is an
// error that names its place.
//
// It refuses what it can't judge, rather than guess: NotPrincipal, the
// operators for binary values, and elements or operators it does not know.
// It knows one policy at a time: joining identity policies, boundaries, session
// policies and resource policies is the caller's affair.
package trust
