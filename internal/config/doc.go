// Package config reads slipway.yaml: which agents there are, which
// environments they go to, and what Slipway owns of their runtimes.
//
// Parse reports every mistake of a file at once, each with file:line:column,
// and Target turns one agent in one environment into a delivery.Target, with
// the settings of the process environment over those of the file.
//
// It refuses what YAML allows but nobody needs here: unknown and repeated
// keys, aliases, tags, several documents, files over 1 MiB, other encodings
// than UTF-8. It refuses paths that leave the repository and values that look
// like credentials, which it never prints. It calls no remote and reads no
// files but the one it is asked for: what ${env:NAME} and ${ssm:/path} name is
// looked up by whoever calls Resolve, and the file is then read again with the
// values in their places, so that they are held to the rules of literals.
package config
