package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
)

const releaseSchema = "slipway.release/v1"

// recorded returns the release that the environment's record names, or nil
// where there is none.
func (d *Deliverer) recorded(ctx context.Context) (*Release, error) {
	name := d.Target.Parameter("release")
	value, err := d.Parameters.Parameter(ctx, name)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var r Release
	if err := json.Unmarshal([]byte(value), &r); err != nil || r.Schema != releaseSchema {
		return nil, fmt.Errorf("the release record %s is not %s: it was written by something else", name, releaseSchema)
	}
	return &r, nil
}

// record writes the release and, before it, the plain image URI that CDK and
// CloudFormation read (system: E36). The release comes last: it says that
// nothing is left to do.
func (d *Deliverer) record(ctx context.Context, r Release) error {
	r.Schema, r.Agent, r.Environment = releaseSchema, d.Target.Agent, d.Target.Environment
	value, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding the release: %w", err)
	}
	if err := d.keepParameter(ctx, "image-uri", r.imageURI(d.Target)); err != nil {
		return err
	}
	return d.Parameters.PutParameter(ctx, d.Target.Parameter("release"), string(value), true)
}

// keepParameter makes a parameter hold value, writing only if it does not.
func (d *Deliverer) keepParameter(ctx context.Context, name, value string) error {
	name = d.Target.Parameter(name)
	if old, err := d.Parameters.Parameter(ctx, name); err == nil && old == value {
		return nil
	}
	return d.Parameters.PutParameter(ctx, name, value, true)
}

// imageURI names the release's image by its digest.
func (r *Release) imageURI(t Target) string {
	if r.Image != "" {
		return r.Image
	}
	return t.ImageURI(r.Digest)
}

// pointer names the release.
func (r *Release) pointer() *Pointer {
	if r == nil {
		return nil
	}
	return &Pointer{Revision: r.Revision, Digest: r.Digest, Version: r.Version, Image: r.Image}
}

func short(revision string) string {
	if len(revision) > 7 {
		return revision[:7]
	}
	if revision == "" {
		return "an unknown revision"
	}
	return revision
}
