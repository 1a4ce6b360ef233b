package bootstrap

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
	"github.com/slipway-cd/slipway/internal/trust"
)

// Repository is an image repository as ECR keeps it.
type Repository struct {
	Name       string
	Mutability string   // ECR's value: IMMUTABLE_WITH_EXCLUSION
	Exclusions []string // filters of tags that are treated the other way round
	ScanOnPush bool
	Lifecycle  string // policy text; "" for none
	Policy     []byte // who else may use it; nil for none
	Tags       map[string]string
}

// lifecycle keeps what serves and what a rollback may want. ECR's rules know
// nothing of use (aws/containers-roadmap#1078), so none of them looks at age or
// number of revisions: what has a tag stays, and only the leftovers of
// interrupted pushes go. Images that another names by digest, such as the
// children of an index, are not untagged to ECR's mind.
const lifecycle = `{"rules":[{"rulePriority":1,"description":"Leftovers of interrupted pushes. What has a tag may serve or be rolled back to: it stays.",` +
	`"selection":{"tagStatus":"untagged","countType":"sinceImagePushed","countUnit":"days","countNumber":30},"action":{"type":"expire"}}]}`

// pullSid is the statement of a repository's policy that is ours.
const pullSid = "PullFromOtherAccounts"

// repositories are those of the environment's agents. Tags of revisions can't
// move, latest can (ECR user guide: image tag mutability).
func (a Account) repositories(ctx context.Context, e Environment) ([]Step, error) {
	var steps []Step
	var refused []error
	var seen []string
	for _, agent := range e.Agents {
		if slices.Contains(seen, agent.Repository) {
			continue
		}
		seen = append(seen, agent.Repository)
		more, err := a.repository(ctx, e, agent.Repository)
		var foreign *ForeignError
		if err != nil && !errors.As(err, &foreign) {
			return nil, err
		}
		if err != nil {
			refused = append(refused, err)
		}
		steps = append(steps, more...)
	}
	return steps, errors.Join(refused...)
}

func (a Account) repository(ctx context.Context, e Environment, name string) ([]Step, error) {
	s := Step{ID: "repository", Resource: name, Action: Keep}
	want := Repository{Name: name, Mutability: "IMMUTABLE_WITH_EXCLUSION", Exclusions: []string{"latest"}, ScanOnPush: true,
		Lifecycle: lifecycle, Tags: map[string]string{Tag: e.Owner}}
	if pullers := e.Pullers[name]; len(pullers) > 0 {
		want.Policy = trust.RepositoryPolicy(pullers).JSON()
	}
	have, err := a.Repositories.State(ctx, name)
	if errors.Is(err, delivery.ErrNotFound) {
		s.Action, s.Changes = Create, want.changes(Repository{})
		s.Apply = func(ctx context.Context) error { return a.Repositories.Make(ctx, want) }
		return []Step{s}, nil
	}
	if err != nil {
		return nil, err
	}
	if have.Lifecycle != "" {
		want.Lifecycle = have.Lifecycle
	}
	if have.Lifecycle != "" && !sameJSON(have.Lifecycle, lifecycle) {
		s.Notes = append(s.Notes, "its lifecycle policy is another's and stays (slipway doctor looks at it)")
	}
	if want.Policy, err = merged(have.Policy, want.Policy); err != nil {
		return nil, err
	}
	if len(documentChanges("policy", have.Policy, want.Policy)) == 0 {
		want.Policy = have.Policy // ECR has only printed it anew
	}
	s.Changes = want.changes(have)
	return a.settle(s, have.Tags, func(ctx context.Context) error { return a.Repositories.Bring(ctx, have, want) })
}

// merged puts our statement into a repository's policy, or takes it out where
// nobody pulls any more, and leaves all others.
func merged(have, want []byte) ([]byte, error) {
	if len(have) == 0 {
		return want, nil
	}
	p, err := trust.Parse(have)
	if err != nil {
		return nil, &delivery.Error{Kind: delivery.KindRefused, Op: "reading the repository's policy", Err: err,
			Hints: []string{"mend it by hand: what can't be read is not replaced"}}
	}
	ours := trust.Policy{}
	if len(want) > 0 {
		if ours, err = trust.Parse(want); err != nil {
			return nil, fmt.Errorf("our own policy: %w", err)
		}
	}
	others := slices.DeleteFunc(slices.Clone(p.Statements), func(s trust.Statement) bool { return s.Sid == pullSid })
	p.Statements = slices.Concat(others, ours.Statements)
	if len(p.Statements) == 0 {
		return nil, nil
	}
	return p.JSON(), nil
}

// sameJSON compares two documents by what they say: ECR writes them anew.
func sameJSON(a, b string) bool {
	var x, y any
	return json.Unmarshal([]byte(a), &x) == nil && json.Unmarshal([]byte(b), &y) == nil && reflect.DeepEqual(x, y)
}

// changes are the fields in which a repository differs from what it has.
func (r Repository) changes(have Repository) []Change {
	changes := changed("tag mutability", have.mutability(), r.mutability())
	if !have.ScanOnPush {
		changes = append(changes, Change{Field: "scan on push", Before: onOff(have), After: "on"})
	}
	changes = append(changes, changed("lifecycle", have.Lifecycle, r.Lifecycle)...)
	return append(changes, documentChanges("policy", have.Policy, r.Policy)...)
}

func onOff(r Repository) string {
	if r.Name == "" {
		return ""
	}
	return "off"
}

func (r Repository) mutability() string {
	if len(r.Exclusions) == 0 {
		return r.Mutability
	}
	return r.Mutability + " " + strings.Join(r.Exclusions, ", ")
}
