package sim

import "time"

// role is an IAM role. Record: iam/<account>/role/<lower-case name>.
type role struct {
	Account     string        `json:"account"`
	Name        string        `json:"name"`
	Path        string        `json:"path"`
	ID          string        `json:"id"`
	Description string        `json:"description,omitempty"`
	Trust       string        `json:"trust"` // the document, as given
	MaxSession  time.Duration `json:"max_session"`
	Created     time.Time     `json:"created"`
	Tags        []tag         `json:"tags,omitempty"`
}

type tag struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}
