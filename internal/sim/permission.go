package sim

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/slipway-cd/slipway/internal/trust"
)

// This file asks the permission policies. Every signed call is asked about:
// the caller's identity policies, its boundary and its session's policy decide,
// and a repository's own policy besides (IAM user guide, "Policy evaluation
// logic"). Not modelled are what an organisation adds (service and resource
// control policies), VPC endpoint policies, and that a change of a policy takes
// effect after seconds alone: here it holds at once.

// Decision is what the policies said to one question of a call.
type Decision struct {
	// Principal is who was asked about, where it is not the caller: the
	// execution role that pulls the image.
	Principal string `json:"principal,omitempty"`
	Action    string `json:"action"`
	Resource  string `json:"resource"`
	Allowed   bool   `json:"allowed"`
	// By is the statement that allowed or denied it, or why none allowed it.
	By string `json:"by"`
}

// asker is who asks to do something, as the policies see it.
type asker struct {
	principal principal
	at        time.Time
	region    string
	request   *http.Request // nil where a service acts as a role
	decisions *[]Decision   // what was said so far, for the journal
}

func (k *call) asker() asker {
	return asker{principal: k.principal, at: k.at, region: k.region, request: k.Request, decisions: &k.decisions}
}

func (x *exchange) asker() asker {
	return asker{principal: x.principal, at: x.at, region: x.registry.region, request: x.Request, decisions: &x.decisions}
}

// keys are condition keys and their values.
type keys map[string][]string

// allowed asks whether the asker may do action on resource. more are the
// condition keys of this action, beside those that every call has.
func (c *Cloud) allowed(a asker, action, resource string, more keys) error {
	v, err := c.judge(a, action, resource, more)
	return a.settle(action, resource, resource, v, err)
}

// judge evaluates the asker's own policies. The error says why they can't be.
func (c *Cloud) judge(a asker, action, resource string, more keys) (trust.Verdict, error) {
	holder, err := c.holder(a.principal)
	if err != nil {
		return trust.Verdict{Layer: trust.IdentityBased, Statement: -1}, err
	}
	return holder.grants.Authorize(trust.Request{Action: action, Resource: resource, Context: a.context(holder, resource, more)}), nil
}

// settle keeps a verdict for the journal, and words it as AWS does where it is
// a denial. shown is the resource as the denial names it.
func (a asker) settle(action, resource, shown string, v trust.Verdict, err error) error {
	d := Decision{Action: action, Resource: resource, Allowed: v.Allowed, By: v.Reason()}
	if err != nil {
		d.By = err.Error()
	}
	if a.request == nil {
		d.Principal = a.principal.arn
	}
	*a.decisions = append(*a.decisions, d)
	if d.Allowed {
		return nil
	}
	f := faultf(http.StatusForbidden, "AccessDeniedException", "User: %s is not authorized to perform: %s on resource: %s %s",
		a.principal.arn, action, shown, because(action, v))
	f.why = d.By
	return f
}

// because ends a denial (IAM user guide, "Troubleshoot access denied error
// messages"; AWS security blog, "Enhanced access denied error messages with
// policy ARNs": of an explicit deny in a policy that has an ARN, that is told).
func because(action string, v trust.Verdict) string {
	if !v.Explicit {
		return fmt.Sprintf("because no %s allows the %s action", v.Layer, action)
	}
	article := "a"
	if v.Layer == trust.IdentityBased {
		article = "an"
	}
	text := fmt.Sprintf("with an explicit deny in %s %s", article, v.Layer)
	if strings.HasPrefix(v.Policy, "arn:") {
		text += ": " + v.Policy
	}
	return text
}

// wordDenial gives a denial the code and the status of the call's protocol.
func (k *call) wordDenial(err error) error {
	f := asFault(err)
	if f == nil || f.Code != "AccessDeniedException" {
		return err
	}
	switch k.op.protocol {
	case queryXML:
		f.Code = "AccessDenied"
	case json11:
		f.Status = http.StatusBadRequest
	}
	return f
}

// holder is a principal with what policies know of it.
type holder struct {
	arn    string // aws:PrincipalArn: the role's, not the session's
	kind   string // aws:PrincipalType
	tags   []tag
	grants trust.Grants
}

// administrators is what each account's administrator has attached: AWS's own
// policy for administrators.
const administrators = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`

// holder finds the policies of a principal as they are now: what a role is
// denied holds for the sessions that it has.
func (c *Cloud) holder(p principal) (holder, error) {
	if p.role == "" {
		policy, err := c.policies.read("arn:aws:iam::aws:policy/AdministratorAccess", administrators)
		return holder{arn: p.arn, kind: "User", grants: trust.Grants{Identity: []trust.Named{policy}}}, err
	}
	r, ok := shared[role](c.store, roleKey(p.account, p.role))
	if !ok || p.id != "" && !strings.HasPrefix(p.id, r.ID+":") {
		return holder{}, fmt.Errorf("the role %s of this session is gone", p.role)
	}
	grants, err := c.grantsOf(r)
	if err == nil && p.policy != "" {
		var session trust.Named
		session, err = c.policies.read("of the session", p.policy)
		grants.Session = &session
	}
	return holder{arn: r.ARN(), kind: "AssumedRole", tags: r.Tags, grants: grants}, err
}

// grantsOf reads a role's policies.
func (c *Cloud) grantsOf(r *role) (trust.Grants, error) {
	var g trust.Grants
	for _, name := range slices.Sorted(maps.Keys(r.Policies)) {
		policy, err := c.policies.read(name, r.Policies[name])
		if err != nil {
			return g, err
		}
		g.Identity = append(g.Identity, policy)
	}
	for _, arn := range r.Attached {
		policy, err := c.readManaged(arn)
		if err != nil {
			return g, err
		}
		g.Identity = append(g.Identity, policy)
	}
	if r.Boundary != "" {
		boundary, err := c.readManaged(r.Boundary)
		g.Boundary = &boundary
		return g, err
	}
	return g, nil
}

func (c *Cloud) readManaged(arn string) (trust.Named, error) {
	document, ok := c.managedPolicy(arn)
	if !ok {
		return trust.Named{}, fmt.Errorf("the policy %s is gone", arn)
	}
	return c.policies.read(arn, document)
}

// context holds the condition keys that every call has (IAM user guide, "AWS
// global condition context keys"), and more. aws:SecureTransport is true: that
// the cloud's loopback is not encrypted is no news to a policy.
func (a asker) context(h holder, resource string, more keys) map[string][]string {
	p := a.principal
	context := map[string][]string{
		"aws:PrincipalArn":          {h.arn},
		"aws:PrincipalAccount":      {p.account},
		"aws:PrincipalType":         {h.kind},
		"aws:PrincipalIsAWSService": {"false"},
		"aws:userid":                {p.id},
		"aws:CurrentTime":           {isoTime(a.at)},
		"aws:EpochTime":             {strconv.FormatInt(a.at.Unix(), 10)},
		"aws:SecureTransport":       {"true"},
		"aws:RequestedRegion":       {a.region},
		"aws:ResourceAccount":       {accountOf(resource, p.account)},
		"aws:ViaAWSService":         {"false"},
	}
	if p.role == "" {
		context["aws:username"] = []string{p.arn[strings.LastIndexByte(p.arn, '/')+1:]}
	}
	if !p.issued.IsZero() {
		context["aws:TokenIssueTime"] = []string{isoTime(p.issued)}
	}
	if p.provider != "" {
		context["aws:FederatedProvider"] = []string{p.provider}
	}
	for _, t := range h.tags {
		context["aws:PrincipalTag/"+t.Key] = []string{t.Value}
	}
	a.requestKeys(context)
	maps.Copy(context, more)
	return context
}

// requestKeys adds what only a request over the network has.
func (a asker) requestKeys(context map[string][]string) {
	if a.request == nil {
		return
	}
	if host, _, err := net.SplitHostPort(a.request.RemoteAddr); err == nil {
		context["aws:SourceIp"] = []string{host}
	}
	if agent := a.request.UserAgent(); agent != "" {
		context["aws:UserAgent"] = []string{agent}
	}
}

// accountOf is the account of an ARN, or own where it has none.
func accountOf(arn, own string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 && parts[4] != "" {
		return parts[4]
	}
	return own
}

// tagKeys are the condition keys of tags that a request carries.
func tagKeys(tags []tag) keys {
	k := keys{}
	for _, t := range tags {
		k["aws:RequestTag/"+t.Key] = []string{t.Value}
		k["aws:TagKeys"] = append(k["aws:TagKeys"], t.Key)
	}
	return k
}

// untagKeys are the condition keys of a request that takes tags away.
func untagKeys(gone []string) keys {
	if gone == nil {
		return nil
	}
	return keys{"aws:TagKeys": gone}
}

// resourceTags are the condition keys of tags that a resource has, under
// AWS's name and the service's own.
func resourceTags(tags []tag, service string) keys {
	k := keys{}
	for _, t := range tags {
		k["aws:ResourceTag/"+t.Key] = []string{t.Value}
		k[service+"/"+t.Key] = []string{t.Value}
	}
	return k
}

// joined are the keys of both.
func (k keys) joined(other keys) keys {
	all := maps.Clone(k)
	if all == nil {
		all = keys{}
	}
	maps.Copy(all, other)
	return all
}
