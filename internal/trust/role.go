package trust

import (
	"fmt"
	"time"
)

// Role is an IAM role as IAM keeps it, its documents unread: who audits one
// wants to see what is wrong with them.
type Role struct {
	Name       string
	Path       string // begins and ends with /
	ARN        string
	Trust      []byte        // who may assume it
	MaxSession time.Duration // of its sessions
	Tags       map[string]string
	Inline     []Document // by name
	Attached   []Document // managed policies, by ARN
	Boundary   *Document  // permissions boundary, by ARN; nil for none
}

// Document is a policy document and what it is called.
type Document struct {
	Name string // an inline policy's name, a managed policy's ARN
	JSON []byte
}

// Grants reads the role's permission policies for Authorize. The error names
// the policy that can't be read: a verdict without it would be a guess.
func (r Role) Grants() (Grants, error) {
	var g Grants
	for _, d := range append(append([]Document{}, r.Inline...), r.Attached...) {
		n, err := d.read()
		if err != nil {
			return Grants{}, err
		}
		g.Identity = append(g.Identity, n)
	}
	if r.Boundary != nil {
		n, err := r.Boundary.read()
		if err != nil {
			return Grants{}, err
		}
		g.Boundary = &n
	}
	return g, nil
}

func (d Document) read() (Named, error) {
	p, err := Parse(d.JSON)
	if err != nil {
		return Named{}, fmt.Errorf("policy %s: %w", d.Name, err)
	}
	return Named{Name: d.Name, Policy: p}, nil
}

// Managed is a managed policy: its ARN, the document in force, and its tags.
type Managed struct {
	Document
	Tags map[string]string
}

// Provider is an account's OIDC provider.
type Provider struct {
	ARN       string
	Issuer    string // https://…
	Audiences []string
	Tags      map[string]string
}
