package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// id is what the parameter runtime-id names.
func (x *examination) id(ctx context.Context) (string, error) {
	return x.runtimeID.get(func() (string, error) {
		if x.Parameters == nil {
			return "", skipped("not asked")
		}
		value, err := x.Parameters.Parameter(ctx, x.Target.Parameter("runtime-id"))
		if err != nil {
			return "", err
		}
		id, ok := delivery.ParseRuntimeID(value)
		if !ok {
			return "", malformed(id)
		}
		return id, nil
	})
}

// malformed is a runtime id that is none.
type malformed string

func (m malformed) Error() string { return fmt.Sprintf("%q, which is no runtime id", string(m)) }

// live is the newest version of the runtime.
func (x *examination) live(ctx context.Context) (delivery.RuntimeFacts, error) {
	return x.runtime.get(func() (delivery.RuntimeFacts, error) {
		id, err := x.id(ctx)
		if err != nil {
			return delivery.RuntimeFacts{}, skipped("no runtime is known")
		}
		if x.Runtimes == nil {
			return delivery.RuntimeFacts{}, skipped("not asked")
		}
		doc, err := x.Runtimes.Get(ctx, id, "")
		if err != nil {
			return delivery.RuntimeFacts{}, err
		}
		facts, err := delivery.ReadRuntime(doc)
		if facts.ID == "" {
			facts.ID = id
		}
		return facts, err
	})
}

func runtimeID(ctx context.Context, x *examination) (string, error) {
	name := x.Target.Parameter("runtime-id")
	id, err := x.id(ctx)
	var bad malformed
	switch {
	case errors.Is(err, delivery.ErrNotFound):
		x.finding("doctor/runtime-id-missing", "there is no parameter "+name+": no runtime is registered",
			"an administrator runs slipway bootstrap --create --env "+x.Target.Environment+" once; one that exists is registered by writing its id there").on(name)
		return "", nil
	case errors.As(err, &bad):
		x.finding("doctor/runtime-id-malformed", "the parameter "+name+" holds "+bad.Error(),
			"a runtime id looks like customerServiceAgent_dev-a1b2c3d4e5; correct the parameter").on(name)
		return "", nil
	case err != nil:
		return "", err
	}
	for _, env := range slices.Sorted(maps.Keys(x.Project.Siblings)) {
		other, err := x.Parameters.Parameter(ctx, x.Project.Siblings[env])
		if err == nil && strings.TrimSpace(other) == id {
			x.finding("doctor/shared-runtime", x.Target.Environment+" and "+env+" are one runtime, "+id,
				"give each environment its own: correct the parameter of one, then "+x.Target.Delivery(true)).on(name)
		}
	}
	return id, nil
}

func runtime(ctx context.Context, x *examination) (string, error) {
	live, err := x.live(ctx)
	if errors.Is(err, delivery.ErrNotFound) {
		id, _ := x.id(ctx)
		name := x.Target.Parameter("runtime-id")
		x.finding("doctor/runtime-missing", "the runtime "+id+" is gone; the parameter "+name+" is stale",
			"delete that parameter and run "+x.Target.Delivery(true)+", or write the id of the new runtime to it").on(id)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	x.state(live)
	x.configuration(live)
	return live.ID + " is " + live.Status + " at version " + live.Version, nil
}

func (x *examination) state(live delivery.RuntimeFacts) {
	switch live.Status {
	case "READY":
	case "DELETING", "DELETE_FAILED":
		x.finding("doctor/runtime-deleting", "the runtime is "+live.Status, "run "+x.Target.Delivery(true)+" for a new one once it is gone").on(live.ID)
	case "UPDATE_FAILED", "CREATE_FAILED":
		x.finding("doctor/runtime-failed", "the runtime is "+live.Status+why(live.Failure), "remove that cause, then deploy: an update is the way out").on(live.ID)
	default:
		x.finding("doctor/runtime-busy", "the runtime is "+live.Status+": a delivery waits for it", "wait, or look at slipway status").on(live.ID)
	}
}

func why(failure string) string {
	if failure == "" {
		return ""
	}
	return ": " + failure
}

func (x *examination) configuration(live delivery.RuntimeFacts) {
	if live.Compute != x.Target.Compute {
		x.finding("doctor/compute", fmt.Sprintf("the runtime runs on %s, and slipway.yaml says compute: %s; it can't be changed", live.Compute, x.Target.Compute),
			"write compute: "+string(live.Compute)).in(x.Project.File)
	}
	if !live.MMDSv2 {
		x.finding("doctor/mmds", "the runtime answers metadata requests of version 1", "none is needed: the next delivery asks for version 2").on(live.ID)
	}
	if live.Image != "" && delivery.ImageDigest(live.Image) == "" {
		x.finding("doctor/moving-image-live", "version "+live.Version+" names its image by a tag: "+live.Image,
			"deploy: Slipway names images by digest, so that a version stays what it was").on(live.ID)
	}
	if live.Authorizer && !x.Target.Verify.Skip && x.Target.BearerToken == "" {
		x.finding("doctor/verify-token-missing", "the runtime has a JWT authorizer: its verify needs a bearer token, and a deploy without one is refused",
			"put a token of the authorizer's issuer into SLIPWAY_VERIFY_TOKEN").on(live.ID)
	}
}

func endpoint(ctx context.Context, x *examination) (string, error) {
	live, err := x.live(ctx)
	if err != nil {
		return "", skipped("no runtime is known")
	}
	name := x.Target.Serving()
	e, err := x.Runtimes.Endpoint(ctx, live.ID, name)
	if errors.Is(err, delivery.ErrNotFound) {
		x.finding("doctor/endpoint-missing", "the runtime has no endpoint "+name,
			"an administrator runs "+x.Target.Delivery(true)+", which makes it").on(live.ID + "/" + name)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	resource := live.ID + "/" + name
	switch {
	case strings.HasSuffix(e.Status, "_FAILED"):
		x.finding("doctor/endpoint-failed", name+" is "+e.Status+why(e.FailureReason), "remove that cause, then deploy").on(resource)
	case e.TargetVersion != "" && e.TargetVersion != e.LiveVersion:
		x.finding("doctor/endpoint-behind", fmt.Sprintf("%s serves version %s on its way to %s", name, e.LiveVersion, e.TargetVersion),
			"wait; if it stays so, deploy or slipway rollback moves it").on(resource)
	case e.LiveVersion != live.Version:
		x.finding("doctor/endpoint-behind", fmt.Sprintf("%s serves version %s; the newest is %s", name, e.LiveVersion, live.Version),
			"slipway status says why; after a rollback that is meant, and the next deploy moves it").on(resource)
	}
	return name + " serves version " + e.LiveVersion, nil
}

// served is what serves, and what is recorded of it.
func (x *examination) served(ctx context.Context) (delivery.Status, error) {
	return x.status.get(func() (delivery.Status, error) { return x.Status(ctx) })
}

// record compares what serves with what was recorded, and looks for a lock.
func record(ctx context.Context, x *examination) (string, error) {
	if x.Status == nil {
		return "", skipped("not asked")
	}
	if _, err := x.live(ctx); err != nil {
		return "", skipped("no runtime is known")
	}
	status, err := x.served(ctx)
	if err != nil {
		return "", err
	}
	for _, d := range status.Drift {
		x.finding("doctor/drift", d, "slipway status shows both; the next deploy settles and records it").on(x.Target.Parameter("release"))
	}
	if status.Lock != nil {
		x.lock(*status.Lock)
	}
	if status.Release == nil {
		return "no release is recorded", nil
	}
	return "version " + status.Release.Version + " is recorded, " + string(status.Release.Verdict), nil
}

func (x *examination) lock(l delivery.Lock) {
	name := x.Target.Parameter("lock")
	if l.Foreign() {
		x.finding("doctor/locked", "the parameter "+name+" is no lock of slipway's, and keeps deliveries out", "look at it, and delete it if nothing needs it").on(name)
		return
	}
	if l.Left != "" || x.now().After(l.Expires) {
		x.finding("doctor/lock-left", "a delivery of "+l.Holder+" was cut short and left its lock", "none is needed: the next delivery takes it over").on(name)
		return
	}
	x.finding("doctor/locked", fmt.Sprintf("%s is delivering since %s; the lock ends at %s", l.Holder, l.Since.UTC().Format("15:04:05"), l.Expires.UTC().Format("15:04:05 MST")),
		"wait for it; slipway unlock --env "+x.Target.Environment+" --agent "+x.Target.Agent+" "+l.Nonce+" breaks it where that delivery is dead").on(name)
}

var (
	subnetID = regexp.MustCompile(`^subnet-[0-9a-zA-Z]{8,17}$`)
	groupID  = regexp.MustCompile(`^sg-[0-9a-zA-Z]{8,17}$`)
)

// The network modes of AgentCore.
const (
	public = "PUBLIC"
	vpc    = "VPC"
)

// networkMode is that of the next version: what slipway.yaml says, which may be
// by naming subnets alone, else the runtime's own.
func (x *examination) networkMode(live delivery.RuntimeFacts) string {
	if mode := x.Project.NetworkMode; mode != "" {
		return mode
	}
	if len(x.Project.Subnets)+len(x.Project.SecurityGroups) > 0 {
		return vpc
	}
	return live.NetworkMode
}

// network looks at what can be seen of a runtime's network without asking EC2,
// which no delivery needs: the form of ids, and what a VPC has to offer for an
// image to be pulled through it.
func network(ctx context.Context, x *examination) (string, error) {
	live, err := x.live(ctx)
	keys := x.networkKeys(live)
	subnets, groups := keys["bedrock-agentcore:subnets"], keys["bedrock-agentcore:securityGroups"]
	switch mode := x.networkMode(live); {
	case mode == "" && err != nil:
		return "", skipped("no runtime is known")
	case mode != vpc:
		return public, nil
	}
	for _, list := range []struct {
		ids  []string
		form *regexp.Regexp
	}{{subnets, subnetID}, {groups, groupID}} {
		for _, id := range list.ids {
			if !list.form.MatchString(id) {
				x.finding("doctor/network-ids", fmt.Sprintf("%q is no id", id), "one id each: a list that was pasted as one text has to be split").in(x.Project.File)
			}
		}
	}
	x.finding("doctor/network-egress", "the image is pulled through the VPC, which is not looked into here",
		"the subnets need NAT, or endpoints for ecr.api, ecr.dkr and logs and a gateway endpoint for S3, and the security group has to let 443 out to them, S3's prefix list included")
	if s3 := live.ServiceS3Endpoint; err == nil && (s3 == nil || !*s3) {
		x.finding("doctor/network-s3", "the runtime has no path of its own to S3, where ECR keeps the layers",
			"a gateway endpoint for S3 in the subnets' route tables, or NAT; requireServiceS3Endpoint is for older runtimes alone").on(live.ID)
	}
	return fmt.Sprintf("VPC, %d subnets", len(subnets)), nil
}
