// Package awsauth opens sessions with AWS: in a GitHub job by the job's own
// OIDC token and STS, elsewhere by the chain that the AWS CLI uses. It hands
// out aws.Config values, one per service, with the region, endpoint,
// credentials, retries, timeouts and user agent in place.
//
// It refuses long-lived keys in CI unless forced, plain HTTP to anything but
// loopback, endpoints that are not AWS's unless allowed, redirects, and
// proxies that would see a request in clear. It never prints or stores a
// token or a key. The SDK's own web-identity provider is not used: it ignores
// AWS_ENDPOINT_URL and would send a local cloud's token to AWS.
//
// What STS refuses it explains claim by claim (Denial). Whether the account
// is the right one is for the core to compare.
package awsauth
