package agentcore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/slipway-cd/slipway/internal/delivery"
)

var (
	_ delivery.Runtimes      = (*Client)(nil)
	_ delivery.Creator       = (*Client)(nil)
	_ delivery.EndpointMover = (*Client)(nil)
	_ delivery.Invoker       = (*Client)(nil)
)

// Get returns the configuration of a version, of the newest one where version
// is "". It returns ErrNotFound for a runtime or version that is not there.
func (c *Client) Get(ctx context.Context, id, version string) (delivery.Document, error) {
	r := c.control("GetAgentRuntime", id, http.MethodGet, id)
	if version != "" {
		r.resource += " version " + version
		r.query.Set("version", version)
	}
	return c.document(ctx, r)
}

// Update replaces the whole configuration with body. It returns ErrConflict
// while the runtime is busy. The same clientToken makes one version however
// often it is sent; without one, an update that nobody answered is not sent
// again.
func (c *Client) Update(ctx context.Context, id string, body delivery.Document, clientToken string) (delivery.Document, error) {
	r := c.control("UpdateAgentRuntime", id, http.MethodPut, id)
	if err := r.setBody(body, clientToken); err != nil {
		return nil, err
	}
	return c.document(ctx, r)
}

// Endpoint returns the state of an endpoint, or ErrNotFound.
func (c *Client) Endpoint(ctx context.Context, id, name string) (delivery.Endpoint, error) {
	r := c.control("GetAgentRuntimeEndpoint", id+"/"+name, http.MethodGet, id, "runtime-endpoints", name)
	var e struct{ Name, Status, LiveVersion, TargetVersion, FailureReason string }
	if err := c.decode(ctx, r, &e); err != nil {
		return delivery.Endpoint{}, err
	}
	return delivery.Endpoint{Name: name, Status: e.Status, LiveVersion: e.LiveVersion,
		TargetVersion: e.TargetVersion, FailureReason: e.FailureReason}, nil
}

// Create makes a runtime. It returns ErrConflict where the name is taken. A
// role that AgentCore can't assume yet is waited for: IAM is slow to tell
// (facts: Create-time).
func (c *Client) Create(ctx context.Context, body delivery.Document, clientToken string) (delivery.Document, error) {
	r := c.control("CreateAgentRuntime", nameOf(body), http.MethodPut)
	if err := r.setBody(body, clientToken); err != nil {
		return nil, err
	}
	r.tries = 8
	r.again = func(e *delivery.RemoteError) bool {
		return r.transient(e) || e.Status == http.StatusBadRequest && strings.Contains(e.Message, "Role validation failed")
	}
	return c.document(ctx, r)
}

func nameOf(body delivery.Document) string {
	var named struct {
		Name string `json:"agentRuntimeName"`
	}
	_ = json.Unmarshal(body, &named) // setBody reports what is wrong
	return named.Name
}

// maxPages bounds a listing: 1,000 runtimes is the quota, and it may be raised.
const maxPages = 200

// Find returns the id of the runtime with that name, or ErrNotFound.
func (c *Client) Find(ctx context.Context, name string) (string, error) {
	r := c.control("ListAgentRuntimes", name, http.MethodPost)
	r.query.Set("maxResults", "100")
	for range maxPages {
		var page struct {
			AgentRuntimes []struct{ AgentRuntimeName, AgentRuntimeID string }
			NextToken     string
		}
		if err := c.decode(ctx, r, &page); err != nil {
			return "", err
		}
		for _, runtime := range page.AgentRuntimes {
			if runtime.AgentRuntimeName == name {
				return runtime.AgentRuntimeID, nil
			}
		}
		if page.NextToken == "" {
			return "", &delivery.RemoteError{Service: "AgentCore", Operation: r.operation, Resource: name,
				Code: "ResourceNotFoundException", Message: "no runtime has that name", Kind: delivery.ErrNotFound}
		}
		r.query.Set("nextToken", page.NextToken)
	}
	return "", fmt.Errorf("AgentCore %s: the list did not end after %d pages", r.operation, maxPages)
}

// CreateEndpoint makes a named endpoint that serves version. It returns
// ErrConflict where there is one of that name.
func (c *Client) CreateEndpoint(ctx context.Context, id, name, version, clientToken string) error {
	r := c.control("CreateAgentRuntimeEndpoint", id+"/"+name, http.MethodPut, id, "runtime-endpoints")
	return c.write(ctx, r, map[string]string{"name": name, "agentRuntimeVersion": version}, clientToken)
}

// MoveEndpoint points a named endpoint at a version.
func (c *Client) MoveEndpoint(ctx context.Context, id, name, version, clientToken string) error {
	r := c.control("UpdateAgentRuntimeEndpoint", id+"/"+name, http.MethodPut, id, "runtime-endpoints", name)
	return c.write(ctx, r, map[string]string{"agentRuntimeVersion": version}, clientToken)
}

func (c *Client) write(ctx context.Context, r *request, body map[string]string, clientToken string) error {
	raw, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("AgentCore %s: %w", r.operation, err)
	}
	if err := r.setBody(raw, clientToken); err != nil {
		return err
	}
	_, err = c.call(ctx, r)
	return err
}

// document sends the request and checks that the answer is a JSON object.
func (c *Client) document(ctx context.Context, r *request) (delivery.Document, error) {
	var members map[string]json.RawMessage
	raw, err := c.call(ctx, r)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &members); err != nil || members == nil {
		return nil, r.notJSON(err)
	}
	return raw, nil
}

func (c *Client) decode(ctx context.Context, r *request, v any) error {
	raw, err := c.call(ctx, r)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return r.notJSON(err)
	}
	return nil
}

func (r *request) notJSON(err error) error {
	if err == nil {
		err = errors.New("null")
	}
	return fmt.Errorf("AgentCore %s %s: the answer is no JSON object: %w", r.operation, r.resource, err)
}

// setBody puts the client token into the object and leaves every other
// member's bytes as they are.
func (r *request) setBody(body delivery.Document, clientToken string) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil || members == nil {
		return fmt.Errorf("AgentCore %s %s: the configuration is no JSON object", r.operation, r.resource)
	}
	members = maps.Clone(members)
	delete(members, "clientToken")
	r.repeat = clientToken != ""
	if r.repeat {
		token, err := json.Marshal(clientToken)
		if err != nil {
			return fmt.Errorf("AgentCore %s: %w", r.operation, err)
		}
		members["clientToken"] = token
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(members); err != nil {
		return fmt.Errorf("AgentCore %s: %w", r.operation, err)
	}
	r.body = bytes.TrimSpace(b.Bytes())
	r.header.Set("Content-Type", "application/json")
	return nil
}
