package awsauth

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

// Service names a service as AWS_ENDPOINT_URL_<SERVICE> does.
type Service string

// The services that a delivery talks to.
const (
	STS              Service = "STS"
	IAM              Service = "IAM"
	ECR              Service = "ECR"
	SSM              Service = "SSM"
	Logs             Service = "CLOUDWATCH_LOGS"
	AgentCore        Service = "BEDROCK_AGENTCORE"         // data plane
	AgentCoreControl Service = "BEDROCK_AGENTCORE_CONTROL" // control plane
)

// services lists them all.
func services() []Service {
	return []Service{STS, IAM, ECR, SSM, Logs, AgentCore, AgentCoreControl}
}

// Endpoints are the base URLs that the environment puts in place of AWS's
// own. The zero value has none.
type Endpoints struct {
	urls    map[Service]string
	foreign []string
}

// ReadEndpoints reads AWS_ENDPOINT_URL and AWS_ENDPOINT_URL_<SERVICE>. It
// returns a *delivery.Error of KindConfig for a value that is no URL, or that
// is plain http to anything but this machine.
func ReadEndpoints(getenv func(string) string) (Endpoints, error) {
	e := Endpoints{urls: make(map[Service]string)}
	if strings.EqualFold(getenv("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true") {
		return e, nil
	}
	for _, service := range services() {
		variable := "AWS_ENDPOINT_URL_" + string(service)
		value := getenv(variable)
		if value == "" {
			variable = "AWS_ENDPOINT_URL"
			value = getenv(variable)
		}
		if value == "" {
			continue
		}
		u, err := checkEndpoint(value)
		if err != nil {
			return Endpoints{}, &delivery.Error{Kind: delivery.KindConfig, Op: "reading " + variable, Err: err}
		}
		e.urls[service] = strings.TrimRight(value, "/")
		if found := variable + "=" + u.Host; !ours(u) && !slices.Contains(e.foreign, found) {
			e.foreign = append(e.foreign, found)
		}
	}
	return e, nil
}

// URL returns the base URL for a service, without a slash at its end; "" for
// AWS's own.
func (e Endpoints) URL(service Service) string { return e.urls[service] }

// Foreign lists the endpoints that are neither AWS's nor this machine, each as
// VARIABLE=host: who stands there reads what is sent.
func (e Endpoints) Foreign() []string { return e.foreign }

// checkEndpoint parses a base URL. Its errors don't repeat the value: it may
// hold a password.
func checkEndpoint(value string) (*url.URL, error) {
	u, err := url.Parse(value)
	switch {
	case err != nil || u.Host == "" || u.Opaque != "":
		return nil, errors.New("not a URL: want https://host")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return nil, fmt.Errorf("%s: a user, a query or a fragment has no place in an endpoint", u.Host)
	case u.Scheme == "https", u.Scheme == "http" && loopback(u.Hostname()):
		return u, nil
	}
	return nil, fmt.Errorf("%s://%s: want https; plain http is for this machine alone (127.0.0.1, localhost)", u.Scheme, u.Host)
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// awsHost matches the hosts of the services above: a bucket or a load
// balancer under amazonaws.com belongs to a customer, not to AWS.
var awsHost = regexp.MustCompile(`^(vpce-[a-z0-9-]+\.)?(sts|iam|ecr|api\.ecr|ecr-fips|ssm|ssm-fips|sts-fips|logs|logs-fips|bedrock-agentcore|bedrock-agentcore-control)` +
	`(\.[a-z]{2}(-[a-z]+)+-\d)?(\.vpce)?\.(amazonaws\.com|amazonaws\.com\.cn|amazonaws\.eu|api\.aws)$`)

func ours(u *url.URL) bool {
	return loopback(u.Hostname()) || awsHost.MatchString(strings.ToLower(u.Hostname()))
}
