// Package check judges GitHub workflows, Slipway's own or anybody's: whether
// they are right, and whether what may deploy stays in the hands that should.
// actionlint judges syntax, types and expressions; the rules of this package
// judge delivery: who may mint a token, whose text reaches a shell, what is
// pinned, which gate a job passes, and what waits for what.
//
// It refuses to guess. It reads the bytes it is given and nothing else: no
// file, no network, no child process. Where a workflow leaves a question to
// GitHub's settings, such as the value of a secret, there is no finding.
package check
