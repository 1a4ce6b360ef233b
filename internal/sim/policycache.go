package sim

import (
	"fmt"
	"sync"

	"github.com/slipway-cd/slipway/internal/trust"
)

// maxPoliciesRead is how many policies are kept read; a cloud has a few.
const maxPoliciesRead = 1000

// policyCache keeps policies read, by their text: every call asks some.
type policyCache struct {
	mu    sync.Mutex
	known map[string]trust.Policy
}

// read reads a policy and gives it a name. The error names the policy.
func (p *policyCache) read(name, text string) (trust.Named, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	policy, ok := p.known[text]
	if ok {
		return trust.Named{Name: name, Policy: policy}, nil
	}
	policy, err := trust.Parse([]byte(text))
	if err != nil {
		return trust.Named{}, fmt.Errorf("policy %s: %w", name, err)
	}
	if p.known == nil || len(p.known) >= maxPoliciesRead {
		p.known = make(map[string]trust.Policy)
	}
	p.known[text] = policy
	return trust.Named{Name: name, Policy: policy}, nil
}
