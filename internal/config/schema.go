package config

import _ "embed"

//go:embed schema.json
var schema string

// Schema returns the JSON Schema (2020-12) of slipway.yaml. It is for editors:
// Parse knows more than a schema can say, and never accepts what it refuses.
func Schema() []byte { return []byte(schema) }
