package delivery

import "encoding/json"

// Document is a runtime's configuration as AgentCore's own JSON object.
type Document = json.RawMessage
