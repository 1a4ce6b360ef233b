package sim

import (
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// defaultParameterKey is the only key that SecureString may use here.
const defaultParameterKey = "alias/aws/ssm"

type putParameterInput struct {
	Name           string
	Description    string
	Value          string
	Type           string
	KeyID          string `json:"KeyId"`
	Overwrite      bool
	AllowedPattern string
	Tags           []jsonTag
	Tier           string
	Policies       string
	DataType       string
}

func (c *Cloud) putParameter(k *call) (any, error) {
	var in putParameterInput
	if err := k.decode(&in); err != nil {
		return nil, err
	}
	in.Name = strings.TrimSpace(in.Name) // "The service removes any spaces" at both ends
	if err := c.mayPutParameter(k, in); err != nil {
		return nil, err
	}
	if err := in.check(); err != nil {
		return nil, err
	}
	if len(k.parameterARN(in.Name)) > maxParameterName {
		return nil, ssmInvalid("Parameter name is too long: with the ARN in front of it, it can have at most %d characters.", maxParameterName)
	}
	c.ssm.mu.Lock()
	defer c.ssm.mu.Unlock()
	p, exists := c.loadParameter(k, in.Name)
	if !exists {
		p = &parameter{Name: in.Name, Tags: in.Tags}
	}
	v, err := in.next(p)
	if err != nil {
		return nil, err
	}
	if err := c.checkParameterQuota(k, v.Tier, exists); err != nil {
		return nil, err
	}
	v.Modified, v.ModifiedBy = k.at, k.principal.arn
	changed := *p
	changed.Versions = append(slices.Clone(p.Versions), v)
	if extra := len(changed.Versions) - maxParameterVersions; extra > 0 {
		changed.Versions = changed.Versions[extra:]
	}
	if err := c.store.put(k.parameterKey(in.Name), changed); err != nil {
		return nil, err
	}
	return map[string]any{"Version": v.Version, "Tier": v.Tier}, nil
}

// mayPutParameter asks besides whether the caller may tag what it makes
// (PutParameter's reference, Tags).
func (c *Cloud) mayPutParameter(k *call, in putParameterInput) error {
	more := tagKeys(tagsOf(in.Tags)).joined(keys{"ssm:Overwrite": {strconv.FormatBool(in.Overwrite)}})
	if err := c.mayUseParameter(k, "PutParameter", in.Name, more); err != nil || len(in.Tags) == 0 {
		return err
	}
	return c.mayUseParameter(k, "AddTagsToResource", in.Name, more)
}

// checkParameterQuota refuses a new parameter where its tier has no room.
func (c *Cloud) checkParameterQuota(k *call, tier string, exists bool) error {
	most := maxStandard
	if tier == "Advanced" {
		most = maxAdvanced
	}
	keys := c.store.keys(k.parameterKey(""))
	if exists || len(keys) < most {
		return nil
	}
	count := 0
	for _, key := range keys {
		if p, ok := shared[parameter](c.store, key); ok && p.newest().Tier == tier {
			count++
		}
	}
	if count < most {
		return nil
	}
	return faultf(http.StatusBadRequest, "ParameterLimitExceeded",
		"You have exceeded the number of parameters of the %s tier for this account: %d. Delete one or more parameters and try again.", tier, most)
}

// check refuses what is wrong whatever is stored.
func (in *putParameterInput) check() error {
	if err := checkParameterName(in.Name); err != nil {
		return err
	}
	if err := in.checkMembers(); err != nil {
		return err
	}
	if in.Value == "" {
		return ssmInvalid("1 validation error detected: Value '' at 'value' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	}
	if nestedParameterValues.MatchString(in.Value) {
		return ssmInvalid(`Parameter value can't nest another parameter. Do not use "{{}}" in the value.`)
	}
	return nil
}

// checkMembers refuses values outside of the members' enumerations, and what
// the local cloud does not model but AWS would act on.
func (in *putParameterInput) checkMembers() error {
	switch in.Type {
	case "", "String", "StringList", "SecureString":
	default:
		return ssmInvalid("1 validation error detected: Value '%s' at 'type' failed to satisfy constraint: Member must satisfy enum value set: [SecureString, StringList, String]", in.Type)
	}
	switch in.Tier {
	case "", "Standard", "Advanced", "Intelligent-Tiering":
	default:
		return ssmInvalid("1 validation error detected: Value '%s' at 'tier' failed to satisfy constraint: Member must satisfy enum value set: [Standard, Advanced, Intelligent-Tiering]", in.Tier)
	}
	switch {
	case in.DataType != "" && in.DataType != "text":
		return ssmInvalid("The following data type is not supported: %s (Data type names are all lowercase.)", in.DataType)
	case in.Policies != "":
		return ssmInvalid("the local cloud does not implement parameter policies")
	case len(in.Description) > 1024:
		return ssmInvalid("1 validation error detected: Value at 'description' failed to satisfy constraint: Member must have length less than or equal to 1024")
	case in.Overwrite && len(in.Tags) > 0:
		return ssmInvalid("Invalid request: tags and overwrite can't be used together. To create a parameter with tags, please remove overwrite flag. To update tags for an existing parameter, please use AddTagsToResource or RemoveTagsFromResource.")
	}
	return nil
}

// next makes the version that follows the newest one of p, which has none
// where the parameter is new. What an overwrite leaves out is carried over.
func (in *putParameterInput) next(p *parameter) (parameterVersion, error) {
	v := parameterVersion{Version: 1, Type: in.Type, Value: in.Value, Description: in.Description, AllowedPattern: in.AllowedPattern}
	var last parameterVersion
	if len(p.Versions) > 0 {
		if !in.Overwrite {
			return v, faultf(http.StatusBadRequest, "ParameterAlreadyExists",
				"The parameter already exists. To overwrite this value, set the overwrite option in the request to true.")
		}
		last = p.newest()
		v.Version = last.Version + 1
		v.Type = firstNonEmpty(in.Type, last.Type)
		v.Description = firstNonEmpty(in.Description, last.Description)
		v.AllowedPattern = firstNonEmpty(in.AllowedPattern, last.AllowedPattern)
	}
	switch {
	case v.Type == "":
		return v, ssmInvalid("A parameter type is required when you create a parameter.")
	case last.Type != "" && v.Type != last.Type:
		return v, faultf(http.StatusBadRequest, "HierarchyTypeMismatchException",
			"Parameter Store doesn't support changing a parameter type from %s to %s. Create a new, unique parameter.", last.Type, v.Type)
	case v.Type != "SecureString" && in.KeyID != "":
		return v, ssmInvalid("KeyId is required for SecureString type parameter only.")
	case in.KeyID != "" && in.KeyID != defaultParameterKey:
		return v, faultf(http.StatusBadRequest, "InvalidKeyId", "the local cloud has no KMS: the only key is %s", defaultParameterKey)
	}
	var err error
	if v.Tier, err = chooseTier(in.Tier, last.Tier, len(in.Value)); err != nil {
		return v, err
	}
	return v, checkAllowedPattern(v.AllowedPattern, v.Value)
}

func firstNonEmpty(a, b string) string {
	if a != "" {
		return a
	}
	return b
}

// chooseTier picks the tier and holds the value to its size. An advanced
// parameter stays one; intelligent tiering upgrades where the size asks it to.
func chooseTier(asked, current string, size int) (string, error) {
	tier := firstNonEmpty(asked, firstNonEmpty(current, "Standard"))
	if asked == "Standard" && current == "Advanced" {
		return "", ssmInvalid("This parameter uses the advanced-parameter tier. You can't downgrade a parameter from the advanced-parameter tier to the standard-parameter tier. If necessary, you can delete the advanced parameter and recreate it as a standard parameter.")
	}
	if tier == "Intelligent-Tiering" {
		tier = "Standard"
		if size > maxStandardValue || current == "Advanced" {
			tier = "Advanced"
		}
	}
	if tier == "Standard" && size > maxStandardValue {
		return "", ssmInvalid("Standard tier parameters support a maximum parameter value of %d characters. To create a larger parameter value, upgrade the parameter to use the advanced-parameter tier. For more information, see https://docs.aws.amazon.com/systems-manager/latest/userguide/parameter-store-advanced-parameters.html", maxStandardValue)
	}
	if size > maxAdvancedValue {
		return "", ssmInvalid("Advanced tier parameters support a maximum parameter value of %d characters.", maxAdvancedValue)
	}
	return tier, nil
}

// checkAllowedPattern holds the value to the pattern. AWS's expressions are
// Java's; what Go's can't express is refused.
func checkAllowedPattern(pattern, value string) error {
	if pattern == "" {
		return nil
	}
	re, err := regexp.Compile(pattern)
	if err != nil {
		return faultf(http.StatusBadRequest, "InvalidAllowedPatternException", "The allowed pattern isn't valid: %v", err)
	}
	if !re.MatchString(value) {
		return faultf(http.StatusBadRequest, "ParameterPatternMismatchException", "Parameter value, cannot be validated against allowedPattern: %s", pattern)
	}
	return nil
}

// checkParameterName holds a new name to PutParameter's naming constraints.
func checkParameterName(name string) error {
	switch {
	case name == "":
		return ssmInvalid("1 validation error detected: Value '' at 'name' failed to satisfy constraint: Member must have length greater than or equal to 1.")
	case !parameterNamePattern.MatchString(name), strings.Contains(name, "//"), strings.HasSuffix(name, "/"):
		return ssmInvalid("Parameter name: can't be prefixed with \"ssm\" (case-insensitive). If formed as a path, it can consist of sub-paths divided by slash symbol; each sub-path can be formed as a mix of letters, numbers and the following 3 symbols .-_")
	case strings.Contains(name, "/") && !strings.HasPrefix(name, "/"):
		return ssmInvalid("Parameter name must be a fully qualified name.")
	case strings.Count(name, "/") > maxParameterLevels:
		return faultf(http.StatusBadRequest, "HierarchyLevelLimitExceededException", "A hierarchy can have a maximum of %d levels.", maxParameterLevels)
	}
	return checkReservedName(name)
}

// checkReservedName refuses names that begin with aws or ssm.
func checkReservedName(name string) error {
	lower, isPath := strings.ToLower(name), strings.Count(name, "/") > 1
	switch bare := strings.TrimPrefix(lower, "/"); {
	case strings.HasPrefix(lower, "/aws") && isPath:
		return faultf(http.StatusBadRequest, "AccessDeniedException", "No access to reserved parameter name: %s.", name)
	case strings.HasPrefix(bare, "aws") || strings.HasPrefix(bare, "ssm"):
		return ssmInvalid(`Parameter name: can't be prefixed with "aws" or "ssm" (case-insensitive).`)
	}
	return nil
}
