package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// check reports what is wrong between the parts of a file. Parts that are
// wrong in themselves are zero by now and left alone.
func (r *reader) check(f *File) {
	r.checkOrder(f)
	r.checkNames(f)
	r.checkRepositories(f)
	r.checkPlatforms(f)
	r.checkEngines(f)
	r.checkLifecycles(f)
	r.checkRoles(f)
	for _, e := range f.environments {
		r.checkCapacity(f, e)
	}
}

func environmentPath(name, key string) string { return "environments." + name + "." + key }

func agentPath(name, key string) string { return "agents." + name + "." + key }

// checkOrder reports after: that names nothing, and circles.
func (r *reader) checkOrder(f *File) {
	after := map[string]string{}
	var names []string
	for _, e := range f.environments {
		names = append(names, e.Name)
		after[e.Name] = e.After
	}
	for i, e := range f.environments {
		if e.After == "" {
			continue
		}
		path := environmentPath(e.Name, "after")
		if _, declared := r.keys["environments."+e.After]; declared && !slices.Contains(names, e.After) {
			continue // it is wrong itself
		}
		if !slices.Contains(names, e.After) {
			r.problemAt(path, didYouMean(e.After, names), "there is no environment %s", quote(e.After))
			continue
		}
		if circle := circleFrom(e.Name, after); circle != nil && slices.Index(names, first(names, circle)) == i {
			r.problemAt(path, "one environment must come first", "goes in a circle: %s", strings.Join(circle, " after "))
		}
	}
}

// circleFrom follows after: from an environment and returns the way if it
// leads back there.
func circleFrom(name string, after map[string]string) []string {
	way := []string{name}
	for next := after[name]; next != "" && len(way) <= len(after); next = after[next] {
		way = append(way, next)
		if next == name {
			return way
		}
	}
	return nil
}

// first returns the first of names that is in set.
func first(names, set []string) string {
	for _, name := range names {
		if slices.Contains(set, name) {
			return name
		}
	}
	return ""
}

// runtimeNameLimit is the length of a runtime's name (facts 1.4).
const runtimeNameLimit = 48

// checkNames reports runtime names that AgentCore would refuse, or that two
// agents would share in one account and region; one problem per agent.
func (r *reader) checkNames(f *File) {
	owners := map[string]string{}
	for _, a := range f.agents {
		for _, e := range f.environments {
			name, where := delivery.RuntimeName(a.Name, e.Name), f.whereOf(e)
			who := a.Name + " in " + e.Name
			if len(name) > runtimeNameLimit {
				r.problemAtKey("agents."+a.Name, "", "its runtime in %s would be called %s: %d characters, and AgentCore allows %d",
					e.Name, name, len(name), runtimeNameLimit)
				break
			}
			if other := owners[where+" "+name]; other != "" {
				r.problemAtKey("agents."+a.Name, "a hyphen becomes _ in the names of runtimes",
					"the runtimes of %s and %s would both be called %s", who, other, name)
				break
			}
			owners[where+" "+name] = who
		}
	}
}

// regionOf is the region that the file gives an environment, or "".
func (f *File) regionOf(e Environment) string {
	if e.Region != "" {
		return e.Region
	}
	return f.Region
}

// whereOf names the account and region of an environment.
func (f *File) whereOf(e Environment) string { return accountOf(e) + " " + f.regionOf(e) }

// accountOf names the account of an environment. One that is not known yet,
// for it comes from an expression, is taken for no other's.
func accountOf(e Environment) string {
	if e.Account == "" {
		return "the account of " + e.Name
	}
	return "account " + e.Account
}

// checkRepositories reports repository names that ECR would refuse, and
// repositories that two agents share: their revision tags would collide.
func (r *reader) checkRepositories(f *File) {
	owners := map[string]string{}
	for _, a := range f.agents {
		if a.Repository == "" {
			continue
		}
		path := agentPath(a.Name, "repository")
		if message := r.repositoryProblem(path, a, f.environments); message != "" {
			r.problemAt(path, "", "%s", message)
			continue
		}
		for _, e := range f.environments {
			key := f.whereOf(e) + " " + a.RepositoryIn(e.Name)
			if other := owners[key]; other != "" && other != a.Name {
				r.problemAt(path, "give each agent its own, for example with {agent}",
					"%sis the repository of %s too: their revision tags would collide", r.repositoryAt(path, a, e), other)
				break
			}
			owners[key] = a.Name
		}
	}
}

// repositoryAt begins a sentence with an agent's repository; a value that came
// from an expression is named already.
func (r *reader) repositoryAt(path string, a Agent, e Environment) string {
	if r.origins[path] != "" {
		return ""
	}
	return a.RepositoryIn(e.Name) + " in " + accountOf(e) + " "
}

// repositoryProblem says what is wrong with an agent's repository.
func (r *reader) repositoryProblem(path string, a Agent, environments []Environment) string {
	if strings.ContainsAny(a.RepositoryIn("x"), "{}") {
		return "may hold {agent} and {environment}, and no other braces"
	}
	for _, e := range environments {
		if name := a.RepositoryIn(e.Name); !repositoryRule.ok(name) {
			return fmt.Sprintf("must be %s, not %s", repositoryRule.want, r.quotedAt(path, name))
		}
	}
	return ""
}

// checkPlatforms reports images that the runtimes can't run (E1). The build's
// platform is one per agent, so each environment must take it.
func (r *reader) checkPlatforms(f *File) {
	for _, a := range f.agents {
		var refusing []string
		for _, e := range f.environments {
			if e.Compute != "" && a.Build.Platform != "" && !slices.Contains(e.Compute.Platforms(), a.Build.Platform) {
				refusing = append(refusing, e.Name)
			}
		}
		if len(refusing) > 0 {
			r.problemAt(agentPath(a.Name, "build.platform"), "use linux/arm64, or compute: instances there",
				"microVMs run linux/arm64 alone: AgentCore would refuse %s in %s, where compute is microvm",
				a.Build.Platform, join(refusing, "and"))
		}
	}
}

func (r *reader) checkLifecycles(f *File) {
	for _, a := range f.agents {
		lifecycle, _ := a.Runtime["lifecycleConfiguration"].(map[string]any)
		idle, _ := lifecycle["idleRuntimeSessionTimeout"].(int)
		most, _ := lifecycle["maxLifetime"].(int)
		if most > 0 && idle > most {
			r.problemAt(agentPath(a.Name, "runtime.lifecycle_configuration.idle_runtime_session_timeout"), "",
				"must not be longer than max_lifetime, which is %d", most)
		}
	}
}

// checkRoles reports roles of another account or partition than their
// environment's, and roles with two duties.
func (r *reader) checkRoles(f *File) {
	deployers := map[string]string{}
	for _, e := range f.environments {
		for key, arn := range map[string]string{"deploy_role": e.DeployRole, "execution_role": e.ExecutionRole} {
			if message := arnProblem(arn, e.Account, f.regionOf(e)); message != "" {
				r.problemAt(environmentPath(e.Name, key), "", "%s", message)
			}
		}
		if e.DeployRole == "" {
			continue
		}
		if other := deployers[e.DeployRole]; other != "" {
			r.problemAt(environmentPath(e.Name, "deploy_role"), "one role per environment keeps a job of one out of the other",
				"is the deploy role of %s too", other)
			continue
		}
		deployers[e.DeployRole] = e.Name
	}
	for _, e := range f.environments {
		if owner := deployers[e.ExecutionRole]; e.ExecutionRole != "" && owner != "" {
			r.problemAt(environmentPath(e.Name, "execution_role"), "the agent's role and the deployer's must differ",
				"is the deploy role of %s", owner)
		}
	}
}

// arnProblem says how an ARN disagrees with the account and region that it is
// used in. An empty account or region is not compared.
func arnProblem(arn, account, region string) string {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) < 6 {
		return ""
	}
	switch {
	case account != "" && parts[4] != account:
		return fmt.Sprintf("belongs to account %s, and the environment to %s", parts[4], account)
	case region != "" && parts[1] != partitionOf(region):
		return fmt.Sprintf("belongs to partition %s, and region %s to %s", parts[1], region, partitionOf(region))
	case region != "" && parts[3] != "" && parts[3] != region:
		return fmt.Sprintf("belongs to region %s, and the environment to %s", parts[3], region)
	}
	return ""
}

// partitionOf is the AWS partition of a region.
func partitionOf(region string) string {
	switch {
	case strings.HasPrefix(region, "cn-"):
		return "aws-cn"
	case strings.HasPrefix(region, "us-gov-"):
		return "aws-us-gov"
	case strings.HasPrefix(region, "eusc-"):
		return "aws-eusc"
	}
	return "aws"
}

func (r *reader) checkCapacity(f *File, e Environment) {
	if e.CapacityProvider == "" {
		return
	}
	path := environmentPath(e.Name, "capacity_provider")
	if e.Compute == delivery.MicroVM {
		r.problemAt(path, "add compute: instances", "microVMs have no capacity provider")
	}
	if message := arnProblem(e.CapacityProvider, e.Account, f.regionOf(e)); message != "" {
		r.problemAt(path, "", "%s", message)
	}
}
