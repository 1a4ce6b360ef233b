package check

import "strings"

// SARIFLog is a report as code scanning takes it (OASIS SARIF 2.1.0).
type SARIFLog struct {
	Schema  string     `json:"$schema"`
	Version string     `json:"version"`
	Runs    []sarifRun `json:"runs"`
}

type sarifRun struct {
	Tool       sarifTool     `json:"tool"`
	ColumnKind string        `json:"columnKind"`
	Results    []sarifResult `json:"results"`
}

type sarifTool struct {
	Driver sarifDriver `json:"driver"`
}

type sarifDriver struct {
	Name    string      `json:"name"`
	Version string      `json:"version,omitempty"`
	Rules   []sarifRule `json:"rules"`
}

type sarifRule struct {
	ID               string        `json:"id"`
	ShortDescription *sarifText    `json:"shortDescription,omitempty"`
	FullDescription  *sarifText    `json:"fullDescription,omitempty"`
	Help             *sarifText    `json:"help,omitempty"`
	Default          *sarifDefault `json:"defaultConfiguration,omitempty"`
}

type sarifDefault struct {
	Level string `json:"level"`
}

type sarifText struct {
	Text string `json:"text"`
}

type sarifResult struct {
	RuleID    string          `json:"ruleId"`
	RuleIndex int             `json:"ruleIndex"`
	Level     string          `json:"level"`
	Message   sarifText       `json:"message"`
	Locations []sarifLocation `json:"locations"`
}

type sarifLocation struct {
	Physical sarifPhysical `json:"physicalLocation"`
}

type sarifPhysical struct {
	Artifact sarifArtifact `json:"artifactLocation"`
	Region   sarifRegion   `json:"region"`
}

type sarifArtifact struct {
	URI string `json:"uri"`
}

type sarifRegion struct {
	Line   int `json:"startLine"`
	Column int `json:"startColumn"`
}

// SARIF is the report as code scanning takes it. version is Slipway's. Its
// severities are SARIF's levels by the same names.
func (r Report) SARIF(version string) SARIFLog {
	driver := sarifDriver{Name: "slipway", Version: version, Rules: []sarifRule{}}
	index := map[string]int{}
	run := sarifRun{ColumnKind: "unicodeCodePoints", Results: []sarifResult{}}
	for _, f := range r.Findings {
		i, known := index[f.Rule]
		if !known {
			i = len(driver.Rules)
			index[f.Rule] = i
			driver.Rules = append(driver.Rules, sarifRuleOf(f.Rule))
		}
		message := f.Message
		if f.Fix != "" {
			message += "\nfix: " + f.Fix
		}
		run.Results = append(run.Results, sarifResult{RuleID: f.Rule, RuleIndex: i, Level: string(f.Severity), Message: sarifText{message},
			Locations: []sarifLocation{{sarifPhysical{sarifArtifact{uri(f.File)}, sarifRegion{f.Line, f.Column}}}}})
	}
	run.Tool = sarifTool{driver}
	return SARIFLog{"https://json.schemastore.org/sarif-2.1.0.json", "2.1.0", []sarifRun{run}}
}

func sarifRuleOf(id string) sarifRule {
	for _, r := range Rules() {
		if r.ID == id {
			return sarifRule{ID: id, ShortDescription: &sarifText{r.Finds}, FullDescription: &sarifText{r.Why}, Help: &sarifText{r.Fix},
				Default: &sarifDefault{string(r.Severity)}}
		}
	}
	return sarifRule{ID: id}
}

// uri is a file's name as a relative reference (RFC 3986).
func uri(name string) string {
	return strings.NewReplacer(`\`, "/", "%", "%25", " ", "%20", "#", "%23", "?", "%3F").Replace(name)
}
