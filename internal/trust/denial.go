package trust

import (
	"strings"
)

// The layers besides those of Grants, as AWS's denials name them.
const (
	ResourceBased   Layer = "resource-based policy"
	ServiceControl  Layer = "service control policy"
	ResourceControl Layer = "resource control policy"
	EndpointPolicy  Layer = "VPC endpoint policy"
)

// Denial is what a service says of a call that it did not allow. It is AWS's
// word, not ours: nothing in it was evaluated here.
type Denial struct {
	Principal string // ARN of who called
	Action    string // service:Operation
	// Resource is an ARN, "*", or what the service calls it instead; "" where
	// the denial does not say.
	Resource string
	// Because is why, in AWS's own words; "" where the denial does not say.
	Because string
	// Explicit says that a Deny statement decided: no Allow could help.
	Explicit bool
	// Layer is the kind of policy that decided, "" where it is not told or not
	// known, and Policy its ARN, where told.
	Layer  Layer
	Policy string
}

// What a denial consists of.
const (
	notAuthorized = " is not authorized to perform"
	onResource    = " on resource"
	becauseNo     = " because no "
	explicitDeny  = " with an explicit deny"
)

// Encoded begins the part of a denial that only those who may call
// sts:DecodeAuthorizationMessage can read.
const Encoded = "Encoded authorization failure message:"

// ParseDenial reads the message of an access denied error (IAM user guide:
// troubleshoot access denied error messages); false where it is none, or says
// not even which action it is about.
func ParseDenial(message string) (Denial, bool) {
	message, _, _ = strings.Cut(message, Encoded)
	before, after, ok := strings.Cut(message, notAuthorized)
	if !ok {
		return Denial{}, false
	}
	d := Denial{Principal: lastWord(before)}
	after = strings.TrimLeft(after, ": ")
	body, reason := cutReason(after)
	action, resource, _ := strings.Cut(body, onResource)
	d.Action = bare(action)
	d.Resource = bare(strings.TrimLeft(resource, ": "))
	if service, operation, ok := strings.Cut(d.Action, ":"); !ok || service == "" || operation == "" || strings.ContainsAny(d.Action, " \t\r\n") {
		return Denial{}, false
	}
	d.explain(reason)
	return d, true
}

// cutReason splits what a denial is about from why.
func cutReason(s string) (about, reason string) {
	at := len(s)
	for _, begin := range []string{becauseNo, explicitDeny} {
		if i := strings.Index(s, begin); i >= 0 && i < at {
			at = i
		}
	}
	return s[:at], strings.TrimSpace(s[at:])
}

// explain reads why: "because no LAYER allows ..." or "with an explicit deny in
// a LAYER", of late with the ARN of the policy behind a colon.
func (d *Denial) explain(reason string) {
	d.Because = strings.TrimRight(reason, ". ")
	d.Explicit = strings.HasPrefix(reason, strings.TrimSpace(explicitDeny))
	at := len(reason)
	for _, l := range []Layer{IdentityBased, PermissionsBoundary, SessionPolicy, ResourceBased, ServiceControl, ResourceControl, EndpointPolicy} {
		if i := strings.Index(reason, string(l)); i >= 0 && i < at {
			at, d.Layer = i, l
		}
	}
	if rest, ok := strings.CutPrefix(reason[at:], string(d.Layer)+": "); ok && d.Layer != "" {
		policy, _, _ := strings.Cut(rest, " ")
		d.Policy = bare(policy)
	}
}

// lastWord is the principal, which stands before the verb, after "User: ".
func lastWord(s string) string {
	if i := strings.LastIndexAny(s, " \t\r\n"); i >= 0 {
		s = s[i+1:]
	}
	return strings.TrimPrefix(bare(s), "User:")
}

// bare takes off what stands round a word of a sentence.
func bare(s string) string { return strings.Trim(s, " \t\r\n\"'.,;") }

// Role is the name of the role that was denied, "" where it is a user.
func (d Denial) Role() string {
	parts := strings.SplitN(d.Principal, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	kind, rest, _ := strings.Cut(parts[5], "/")
	switch kind {
	case "assumed-role":
		name, _, _ := strings.Cut(rest, "/")
		return name
	case "role":
		return rest[strings.LastIndexByte(rest, '/')+1:]
	}
	return ""
}

// About returns the Allow statements of the policy that speak of an action:
// those that cover the resource, and those about other resources alone.
// Conditions are not looked at. Every resource covers "", one that is unknown.
func (p Policy) About(action, resource string) (covering, others []Statement) {
	for _, s := range p.Statements {
		switch {
		case s.Effect != Allow || !s.actsOn(action):
		case resource == "" || s.covers(resource, variables{}):
			covering = append(covering, s)
		default:
			others = append(others, s)
		}
	}
	return covering, others
}

// Compact writes the statement as Policy's Compact does.
func (s Statement) Compact() []byte {
	var w writer
	w.statement(s)
	return w.Bytes()
}
