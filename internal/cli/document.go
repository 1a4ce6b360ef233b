package cli

import (
	"errors"
	"math"
	"time"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// The JSON documents that commands print. Their shape is a promise: a schema
// name changes when the meaning of a member does.

type deploymentDocument struct {
	Schema      string            `json:"schema"` // slipway.deployment/v1
	Agent       string            `json:"agent"`
	Environment string            `json:"environment"`
	Outcome     delivery.Outcome  `json:"outcome"`
	Revision    string            `json:"revision"`
	Image       imageDocument     `json:"image"`
	Runtime     runtimeDocument   `json:"runtime"`
	Previous    *previousDocument `json:"previous,omitempty"`
	// PromotedFrom says where a promotion's image was proved.
	PromotedFrom *delivery.Origin `json:"promoted_from,omitempty"`
	Changes      []changeDocument `json:"changes"`
	Stages       []stageDocument  `json:"stages"`
	Seconds      float64          `json:"seconds"`
	Error        *errorDocument   `json:"error,omitempty"`
}

// deploymentsDocument is what --all prints.
type deploymentsDocument struct {
	Schema      string `json:"schema"`      // slipway.deployments/v1
	Deployments []any  `json:"deployments"` // or plans, with --dry-run
}

type imageDocument struct {
	URI      string   `json:"uri"`
	Digest   string   `json:"digest"`
	Platform string   `json:"platform"`
	Tags     []string `json:"tags"`
}

type runtimeDocument struct {
	ID       string `json:"id"`
	Version  string `json:"version"`
	Endpoint string `json:"endpoint"`
	Status   string `json:"status"`
}

type previousDocument struct {
	Revision string `json:"revision"`
	Digest   string `json:"digest"`
	Version  string `json:"version"`
}

// changeDocument is one field of a diff; a value that must not be shown is
// "(changed)", or "(from …)" where slipway.yaml names where it comes from.
type changeDocument struct {
	Path   string `json:"path"`
	Before string `json:"before,omitempty"`
	After  string `json:"after,omitempty"`
}

type stageDocument struct {
	Name    string  `json:"name"`
	Seconds float64 `json:"seconds"`
	Skipped bool    `json:"skipped"`
}

type errorDocument struct {
	Kind      delivery.Kind `json:"kind"`
	Message   string        `json:"message"`
	Hints     []string      `json:"hints"`
	Serves    string        `json:"serves,omitempty"`
	RequestID string        `json:"request_id,omitempty"`
}

type planDocument struct {
	Schema      string           `json:"schema"` // slipway.plan/v1
	Agent       string           `json:"agent"`
	Environment string           `json:"environment"`
	Revision    string           `json:"revision"`
	Digest      string           `json:"digest,omitempty"`
	Steps       []stepDocument   `json:"steps"`
	Changes     []changeDocument `json:"changes"`
}

type stepDocument struct {
	Stage  string `json:"stage"`
	Action string `json:"action"`
	Text   string `json:"text"`
}

func deploymentOf(d *delivery.Deployment, err error) deploymentDocument {
	doc := deploymentDocument{Schema: "slipway.deployment/v1", Agent: d.Target.Agent, Environment: d.Target.Environment,
		Outcome: d.Outcome, Revision: d.Revision,
		Image:        imageDocument{Digest: d.Digest, Platform: d.Platform, Tags: orEmpty(d.Tags)},
		Runtime:      runtimeDocument{d.Runtime.ID, d.Runtime.Version, d.Runtime.Endpoint, d.Runtime.Status},
		PromotedFrom: d.PromotedFrom, Changes: changesOf(d.Changes), Stages: []stageDocument{}, Seconds: seconds(d.Elapsed), Error: errorOf(err)}
	switch {
	case d.Image != "":
		doc.Image.URI = d.Image
	case d.Digest != "":
		doc.Image.URI = d.Target.ImageURI(d.Digest)
	}
	if p := d.Previous; p != nil {
		doc.Previous = &previousDocument{p.Revision, p.Digest, p.Version}
	}
	for _, s := range d.Stages {
		doc.Stages = append(doc.Stages, stageDocument{s.Name, seconds(s.Elapsed), s.Skipped})
	}
	return doc
}

func planOf(p *delivery.Plan) planDocument {
	doc := planDocument{Schema: "slipway.plan/v1", Agent: p.Target.Agent, Environment: p.Target.Environment,
		Revision: p.Revision, Digest: p.Digest, Steps: []stepDocument{}, Changes: changesOf(p.Changes)}
	for _, s := range p.Steps {
		doc.Steps = append(doc.Steps, stepDocument{s.Stage, s.Action, s.Text})
	}
	return doc
}

func changesOf(changes []delivery.Change) []changeDocument {
	docs := []changeDocument{}
	for _, c := range changes {
		doc := changeDocument{Path: c.Path}
		before, after := sides(c)
		if len(c.Before) > 0 {
			doc.Before = before
		}
		if len(c.After) > 0 {
			doc.After = after
		}
		docs = append(docs, doc)
	}
	return docs
}

func errorOf(err error) *errorDocument {
	if err == nil {
		return nil
	}
	doc := &errorDocument{Kind: delivery.KindOf(err), Message: err.Error(), Hints: []string{}}
	var e *delivery.Error
	if errors.As(err, &e) {
		doc.Hints, doc.Serves = orEmpty(e.Hints), e.Serves
	}
	var remote *delivery.RemoteError
	if errors.As(err, &remote) {
		doc.RequestID = remote.RequestID
	}
	return doc
}

func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

// seconds rounds to the millisecond.
func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }
