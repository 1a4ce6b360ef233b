package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// The environment variables of the described system. Each is worth more than
// the file; an empty one counts as unset.
const (
	EnvDeployRole    = "AWS_DEPLOY_ROLE_ARN"
	EnvExecutionRole = "EXECUTION_ROLE_ARN"
	EnvSecurityGroup = "AGENT_SECURITY_GROUP_ID"
	EnvSubnets       = "AGENT_SUBNET_IDS"
)

// Selection is what a command line names.
type Selection struct {
	Agent       string // "" where the file has one
	Environment string
	Region      string // worth more than AWS_REGION and the file
	// Login says that only the environment matters, to log in there: the
	// agent's own expressions keep their places.
	Login bool
	// Look says that nothing is delivered: of the agent's own expressions only
	// its repository's is needed.
	Look bool
	// Partial says that variables may be set elsewhere, as a GitHub
	// environment's are in its own jobs alone: what only a deploy needs, and is
	// not set here, is empty, and Unset names it.
	Partial bool
}

// Target is one agent in one environment, with the process environment's
// settings over the file's. getenv may be nil. It returns a *delivery.Error:
// of KindUsage where the selection names what the file lacks, or where a flag
// or a variable is wrong, of KindConfig where the file lacks something. What
// comes from parameters that are still to be read is missing in the target,
// which names them.
func (f *File) Target(s Selection, getenv func(string) string) (delivery.Target, error) {
	if !f.resolved {
		resolved, err := f.Resolve(s, Lookup{Env: getenv})
		if err != nil {
			return delivery.Target{}, err
		}
		f = resolved
	}
	a, err := f.Agent(s.Agent)
	if err != nil {
		return delivery.Target{}, err
	}
	e, err := f.Environment(s.Environment)
	if err != nil {
		return delivery.Target{}, err
	}
	e, err = f.overlay(e, s.Region, getenv)
	if err != nil {
		return delivery.Target{}, err
	}
	if err := f.complete(e, s.Partial); err != nil {
		return delivery.Target{}, err
	}
	settings, err := settings(a, e)
	if err != nil {
		return delivery.Target{}, err
	}
	t := delivery.Target{
		Agent: a.Name, Environment: e.Name, Account: e.Account, Region: e.Region,
		Registry: registryHost(e.Account, e.Region), Repository: a.RepositoryIn(e.Name),
		Compute: e.Compute, Reference: e.ImageReference, After: e.After,
		MovesLatest: f.movesLatest(a, e.Name), Settings: settings, ExecutionRole: e.ExecutionRole,
		Verify: a.Verify, ReadyTimeout: e.ReadyTimeout, VerifyTimeout: e.VerifyTimeout,
		Origins: a.Origins, Unread: f.Parameters(),
	}
	if e.Endpoint != delivery.DefaultEndpoint {
		t.Endpoint = e.Endpoint
	}
	return t, nil
}

// DeployRole is the role that a job assumes in an environment:
// AWS_DEPLOY_ROLE_ARN, else the file's deploy_role, else "". getenv may be
// nil. It returns a *delivery.Error of KindUsage where the environment is
// unknown or a variable is wrong.
func (f *File) DeployRole(environment string, getenv func(string) string) (string, error) {
	e, err := f.Environment(environment)
	if err != nil {
		return "", err
	}
	if !f.resolved {
		if f, err = f.resolve(resolving{environment: environment, lookup: Lookup{Env: getenv}}); err != nil {
			return "", err
		}
		if e, err = f.Environment(environment); err != nil {
			return "", err
		}
	}
	e, err = f.overlay(e, "", getenv)
	return e.DeployRole, err
}

// find returns the index of a name, or an error that lists the names.
func (f *File) find(what, name string, names []string) (int, error) {
	if i := slices.Index(names, name); i >= 0 {
		return i, nil
	}
	failure := &delivery.Error{Kind: delivery.KindUsage}
	if name == "" {
		failure.Err = fmt.Errorf("no %s is named; %s has %s", what, f.Name, join(names, "and"))
		failure.Hints = []string{"name one with --" + map[string]string{"agent": "agent", "environment": "env"}[what]}
		return 0, failure
	}
	failure.Err = fmt.Errorf("there is no %s %s; %s has %s", what, quote(name), f.Name, join(names, "and"))
	if s := Suggest(name, names); s != "" {
		failure.Hints = []string{"did you mean " + s + "?"}
	}
	return 0, failure
}

// overlay lays the process environment over an environment of the file and
// reports all that is wrong with it at once.
func (f *File) overlay(e Environment, region string, getenv func(string) string) (Environment, error) {
	o := &overlay{getenv: getenv}
	e.Region = o.region(region, f.regionOf(e))
	e.DeployRole = o.role(EnvDeployRole, e.DeployRole)
	e.ExecutionRole = o.role(EnvExecutionRole, e.ExecutionRole)
	e.Network.SecurityGroups = o.ids(EnvSecurityGroup, groupRule, e.Network.SecurityGroups)
	e.Network.Subnets = o.ids(EnvSubnets, subnetRule, e.Network.Subnets)
	o.check(e)
	if len(o.errs) > 0 {
		return e, &delivery.Error{Kind: delivery.KindUsage, Op: "reading the settings of " + e.Name, Err: errors.Join(o.errs...)}
	}
	return e, nil
}

// overlay gathers what is wrong with flags and variables.
type overlay struct {
	getenv func(string) string
	set    []string // variables that were used
	errs   []error
}

func (o *overlay) fail(format string, args ...any) {
	o.errs = append(o.errs, fmt.Errorf(format, args...))
}

// variable returns a variable's value, trimmed.
func (o *overlay) variable(name string) string {
	if o.getenv == nil {
		return ""
	}
	value := strings.TrimSpace(o.getenv(name))
	if value != "" {
		o.set = append(o.set, name)
	}
	return value
}

// region picks the first region that is set: flag, variables, file.
func (o *overlay) region(flag, file string) string {
	from, region := "--region", flag
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION"} {
		if region == "" {
			from, region = name, o.variable(name)
		}
	}
	if region == "" {
		return file
	}
	if !regionRule.ok(region) {
		o.fail("%s must be %s, not %s", from, regionRule.want, quote(region))
	}
	return region
}

func (o *overlay) role(name, file string) string {
	arn := o.variable(name)
	if arn == "" {
		return file
	}
	if !roleRule.ok(arn) {
		o.fail("%s must be %s, not %s", name, roleRule.want, quote(arn))
		return ""
	}
	return arn
}

func (o *overlay) ids(name string, must rule, file []string) []string {
	text := o.variable(name)
	if text == "" {
		return file
	}
	ids, err := splitList(text)
	if err != nil {
		o.fail("%s %w", name, err)
		return nil
	}
	if message := checkIDs(ids, must); message != "" {
		o.fail("%s %s", name, message)
	}
	return ids
}

// check compares what variables say with the environment they are for. What
// the file says alone was compared when it was read; a flag or variable may
// have moved the region since.
func (o *overlay) check(e Environment) {
	roles := []struct{ variable, key, arn string }{
		{EnvDeployRole, "deploy_role", e.DeployRole},
		{EnvExecutionRole, "execution_role", e.ExecutionRole},
		{"", "capacity_provider", e.CapacityProvider},
	}
	for _, role := range roles {
		if message := arnProblem(role.arn, e.Account, e.Region); message != "" {
			o.fail("%s %s", o.source(role.variable, e.Name, role.key), message)
		}
	}
	if e.DeployRole != "" && e.DeployRole == e.ExecutionRole {
		o.fail("%s and %s are the same role: the agent's role and the deployer's must differ",
			o.source(EnvDeployRole, e.Name, "deploy_role"), o.source(EnvExecutionRole, e.Name, "execution_role"))
	}
	if e.Network.Mode == NetworkPublic {
		for _, name := range []string{EnvSecurityGroup, EnvSubnets} {
			if slices.Contains(o.set, name) {
				o.fail("%s is set, but %s is PUBLIC", name, environmentPath(e.Name, "network.mode"))
			}
		}
	}
}

// source names where a setting came from: its variable, or its place in the file.
func (o *overlay) source(variable, environment, key string) string {
	if slices.Contains(o.set, variable) {
		return variable
	}
	return environmentPath(environment, key)
}

// complete reports what an environment lacks once all places were asked; of a
// partial selection only what more than a deploy needs.
func (f *File) complete(e Environment, partial bool) error {
	place := f.places["environments."+e.Name]
	failure := &delivery.Error{Kind: delivery.KindConfig}
	at := fmt.Sprintf("%s:%d:%d", f.Name, place.line, place.column)
	n := e.Network
	switch {
	case e.Region == "":
		failure.Err = fmt.Errorf("%s: environment %s has no region", at, e.Name)
		failure.Hints = []string{"set region in " + FileName + ", AWS_REGION, or --region"}
	case n.Mode == NetworkVPC && len(f.pending) == 0 && !partial && (len(n.Subnets) == 0 || len(n.SecurityGroups) == 0):
		failure.Err = fmt.Errorf("%s: environment %s has network mode VPC, which needs subnets and security groups", at, e.Name)
		failure.Hints = []string{"set network.subnets or " + EnvSubnets + ", and network.security_groups or " + EnvSecurityGroup}
	default:
		return nil
	}
	return failure
}

// settings is what Slipway owns of the runtime's configuration, as a JSON
// merge patch (RFC 7396) in AgentCore's names, keys sorted.
func settings(a Agent, e Environment) (json.RawMessage, error) {
	out := map[string]any{}
	maps.Copy(out, a.Runtime)
	if e.ExecutionRole != "" {
		out["roleArn"] = e.ExecutionRole
	}
	if e.CapacityProvider != "" {
		out["capacityProviderConfiguration"] = map[string]any{"capacityProviderArn": e.CapacityProvider}
	}
	if n := networkSettings(e.Network); n != nil {
		out["networkConfiguration"] = n
	}
	return marshal(out)
}

// networkSettings is the network as AgentCore writes it, nil where nothing is
// set. Subnets or groups alone imply VPC; the other list stays as it is live.
func networkSettings(n Network) map[string]any {
	if n.Mode == NetworkPublic {
		// The null takes the subnets of a runtime that was in a VPC away.
		return map[string]any{"networkMode": NetworkPublic, "networkModeConfig": nil}
	}
	ids := map[string]any{}
	if len(n.SecurityGroups) > 0 {
		ids["securityGroups"] = n.SecurityGroups
	}
	if len(n.Subnets) > 0 {
		ids["subnets"] = n.Subnets
	}
	if len(ids) == 0 {
		return nil
	}
	return map[string]any{"networkMode": NetworkVPC, "networkModeConfig": ids}
}

// registryHost is the ECR registry of an account in a region.
func registryHost(account, region string) string {
	host := account + ".dkr.ecr." + region + ".amazonaws.com"
	if partitionOf(region) == "aws-cn" {
		host += ".cn"
	}
	return host
}

// movesLatest says whether an environment is the first, in the order of
// delivery, that uses its agent's repository. Regions are compared as the
// file gives them: an override holds for one command, and the others are not
// known here. Nor are accounts and regions that come from another job's
// variables: those count as the same, so that latest is left alone in doubt.
func (f *File) movesLatest(a Agent, environment string) bool {
	ordered := f.ordered()
	i := slices.IndexFunc(ordered, func(e Environment) bool { return e.Name == environment })
	target := ordered[i]
	return !slices.ContainsFunc(ordered[:i], func(e Environment) bool {
		return f.same("account", e, target, e.Account == target.Account) &&
			f.same("region", e, target, f.regionOf(e) == f.regionOf(target)) &&
			a.RepositoryIn(e.Name) == a.RepositoryIn(target.Name)
	})
}

// same says whether two environments may have a setting in common: equal says
// so of values that are known.
func (f *File) same(key string, a, b Environment, equal bool) bool {
	for _, e := range []Environment{a, b} {
		if slices.Contains(f.unknown, environmentPath(e.Name, key)) ||
			key == "region" && e.Region == "" && slices.Contains(f.unknown, key) {
			return true
		}
	}
	return equal
}

// ordered lists the environments in the order of delivery: by how many come
// before them, then as the file has them.
func (f *File) ordered() []Environment {
	after := map[string]string{}
	for _, e := range f.environments {
		after[e.Name] = e.After
	}
	depth := func(name string) (n int) {
		for after[name] != "" { // Parse refuses circles
			name = after[name]
			n++
		}
		return n
	}
	ordered := f.Environments()
	slices.SortStableFunc(ordered, func(a, b Environment) int { return depth(a.Name) - depth(b.Name) })
	return ordered
}
