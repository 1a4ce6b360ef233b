package sim

import "net/http"

// quotas are an account's limits in a region, all adjustable at AWS. A zero is
// AWS's default (AgentCore quotas, 2026-09).
type quotas struct {
	runtimes, versions, endpoints, sessions int
}

func (q quotas) runtimesPerRegion() int  { return orDefault(q.runtimes, 1000) }
func (q quotas) versionsPerRuntime() int { return orDefault(q.versions, 1000) }

// endpointsPerRuntime counts DEFAULT as well. Assumption: AWS does so.
func (q quotas) endpointsPerRuntime() int { return orDefault(q.endpoints, 10) }

// sessionsIn is how many sessions may be active at once in a region.
func (q quotas) sessionsIn(region string) int {
	if region == "us-east-1" || region == "us-west-2" {
		return orDefault(q.sessions, 5000)
	}
	return orDefault(q.sessions, 2500)
}

func orDefault(set, otherwise int) int {
	if set == 0 {
		return otherwise
	}
	return set
}

func quotaExceeded(format string, args ...any) *fault {
	return faultf(http.StatusPaymentRequired, "ServiceQuotaExceededException", format, args...)
}
