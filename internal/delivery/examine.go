package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
)

// RuntimeFacts is what can be told of a runtime from its document.
type RuntimeFacts struct {
	ARN, ID, Name  string
	Version        string
	Status         string
	Failure        string // why, where the status is a failure
	Role           string // ARN of the execution role
	Image          string // URI
	Compute        Compute
	Authorizer     bool // it has a JWT authorizer, and takes no signed calls
	MMDSv2         bool // it asks for version 2 of the metadata service
	NetworkMode    string
	Subnets        []string
	SecurityGroups []string
	// ServiceS3Endpoint is requireServiceS3Endpoint, nil where the runtime does
	// not have the member (API_VpcConfig).
	ServiceS3Endpoint *bool
}

// ReadRuntime reads a runtime's document.
func ReadRuntime(doc Document) (RuntimeFacts, error) {
	f, err := readFacts(doc)
	if err != nil {
		return RuntimeFacts{}, err
	}
	var more struct {
		Network struct {
			Mode   string `json:"networkMode"`
			Config struct {
				Subnets           []string `json:"subnets"`
				SecurityGroups    []string `json:"securityGroups"`
				ServiceS3Endpoint *bool    `json:"requireServiceS3Endpoint"`
			} `json:"networkModeConfig"`
		} `json:"networkConfiguration"`
		Metadata struct {
			MMDSv2 bool `json:"requireMMDSV2"`
		} `json:"metadataConfiguration"`
	}
	for _, path := range []string{"networkConfiguration.networkMode", "networkConfiguration.networkModeConfig", "metadataConfiguration.requireMMDSV2"} {
		exact, err := named(doc, path)
		if err == nil {
			err = json.Unmarshal(exact, &more)
		}
		if err != nil {
			return RuntimeFacts{}, fmt.Errorf("reading the runtime's document: %w", err)
		}
	}
	network := more.Network.Config
	return RuntimeFacts{ARN: f.ARN, ID: f.ID, Name: f.Name, Version: f.Version, Status: f.Status, Failure: f.Failure, Role: f.Role,
		Image: f.Artifact.Container.URI, Compute: f.compute(), Authorizer: present(f.Authorizer), MMDSv2: more.Metadata.MMDSv2,
		NetworkMode: more.Network.Mode, Subnets: network.Subnets, SecurityGroups: network.SecurityGroups,
		ServiceS3Endpoint: network.ServiceS3Endpoint}, nil
}

// ParseRuntimeID reads the value of a runtime-id parameter: whatever stands
// around the id is dropped. It returns false for what is no id.
func ParseRuntimeID(value string) (string, bool) {
	id := strings.TrimSpace(value)
	return id, validRuntimeID(id)
}

// CheckImage reads an image, an index's child where it is one, and returns an
// *Error of KindImage where it can't run on compute.
func CheckImage(ctx context.Context, img Image, compute Compute) (ImageFacts, error) {
	child, err := runnable(ctx, img, compute.Platforms())
	if err != nil {
		return ImageFacts{}, err
	}
	facts, err := inspect(ctx, child)
	if err != nil {
		return facts, &Error{Kind: KindImage, Op: "reading the image", Err: err}
	}
	return facts, facts.check(compute)
}

// ImageDigest is the digest that an image's URI names, "" where a tag alone
// does.
func ImageDigest(uri string) string { return parseImage(uri).digest }
