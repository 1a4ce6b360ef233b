package assume

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// ssm lists the assumptions about Parameter Store.
func ssm() []Assumption {
	return []Assumption{
		{"A601", "", a601NoOverwriteNoChange}, {"A602", "", a602VersionsCount}, {"A603", "", a603HistoryIsOldestFirst},
		{"A604", Local, a604HundredVersionsAreKept}, {"A605", "", a605MissesAreListed}, {"A606", "", a606NoSuchParameter},
		{"A607", "", a607VersionByNumber}, {"A608", "", a608ValuesHaveALimit}, {"A609", "", a609ParameterNames},
		{"A610", "", a610DeletedBeginsAnew}, {"A611", "", a611TypesStay}, {"A612", "", a612NoNestedParameters},
		{"A613", "", a613OneCreatorWins}, {"A614", "", a614TypeIsNeeded}, {"A615", "", a615HistoryHasPages},
		{"A616", "", a616DeletingManyNames}, {"A617", "", a617ARNOfAParameter}, {"A618", "", a618NamesHaveALimit},
	}
}

// parameterName is the name of a parameter of this account's own, and sees that
// it is gone in the end.
func (a *Account) parameterName(t T) string {
	t.Helper()
	name := "/" + a.name() + "/prod/runtime-id"
	later(t, func(t T) { a.json11(t, "ssm", "DeleteParameter", document{"Name": name}) })
	return name
}

func (a *Account) put(t T, name, value string, members document) answer {
	t.Helper()
	return a.json11(t, "ssm", "PutParameter", with(document{"Name": name, "Value": value, "Type": "String"}, members))
}

func overwrite() document { return document{"Overwrite": true} }

// A601: PutParameter without Overwrite on a name that is taken is 400
// ParameterAlreadyExists, and changes nothing.
// Source: SSM API reference, PutParameter (Overwrite; errors).
// Confidence: H.
func a601NoOverwriteNoChange(t T, a *Account) {
	name := a.parameterName(t)
	a.put(t, name, "first", nil).want(t, http.StatusOK)
	a.put(t, name, "second", nil).refused(t, http.StatusBadRequest, "ParameterAlreadyExists", "")
	same(t, "the value", a.json11(t, "ssm", "GetParameter", document{"Name": name}).want(t, http.StatusOK).text("Parameter.Value"), "first")
}

// A602: A new parameter has version 1, and each overwrite makes the next, of an
// equal value too.
// Source: SSM API reference, PutParameter (Version).
// Confidence: H.
func a602VersionsCount(t T, a *Account) {
	name := a.parameterName(t)
	for _, want := range []string{"1", "2", "3"} {
		same(t, "the version", a.put(t, name, "same", overwrite()).want(t, http.StatusOK).text("Version"), want)
	}
}

// A603: History is oldest first, each version with its value and who wrote it.
// Source: SSM API reference, GetParameterHistory.
// Confidence: M for the order.
func a603HistoryIsOldestFirst(t T, a *Account) {
	name := a.parameterName(t)
	for _, value := range []string{"one", "two"} {
		a.put(t, name, value, overwrite()).want(t, http.StatusOK)
	}
	x := a.json11(t, "ssm", "GetParameterHistory", document{"Name": name}).want(t, http.StatusOK)
	for i, value := range []string{"one", "two"} {
		at := "Parameters." + strconv.Itoa(i) + "."
		same(t, "the value of version "+strconv.Itoa(i+1), x.text(at+"Value"), value)
		same(t, "the version", x.text(at+"Version"), strconv.Itoa(i+1))
		if !strings.HasPrefix(x.text(at+"LastModifiedUser"), "arn:aws:") {
			t.Errorf("LastModifiedUser is %q", x.text(at+"LastModifiedUser"))
		}
	}
}

// A604: The newest 100 versions are kept; the oldest goes.
// Source: SSM guide, "Working with parameter versions".
// Confidence: H. A hundred writes of one parameter meet a real account's limit of three a second.
func a604HundredVersionsAreKept(t T, a *Account) {
	name := a.parameterName(t)
	for i := range 101 {
		a.put(t, name, strconv.Itoa(i+1), overwrite()).want(t, http.StatusOK)
	}
	a.json11(t, "ssm", "GetParameter", document{"Name": name + ":1"}).refused(t, http.StatusBadRequest, "ParameterVersionNotFound", "")
	same(t, "the oldest that is left", a.json11(t, "ssm", "GetParameter", document{"Name": name + ":2"}).want(t, http.StatusOK).text("Parameter.Value"), "2")
}

// A605: GetParameters takes 1 to 10 names and answers those that are not there
// in InvalidParameters, with 200.
// Source: SSM API reference, GetParameters.
// Confidence: H.
func a605MissesAreListed(t T, a *Account) {
	name := a.parameterName(t)
	a.put(t, name, "x", nil).want(t, http.StatusOK)
	x := a.json11(t, "ssm", "GetParameters", document{"Names": []string{name, name + "-not"}}).want(t, http.StatusOK)
	same(t, "what was found", x.text("Parameters.0.Name"), name)
	same(t, "what was not", fmt.Sprint(x.at("InvalidParameters")), "["+name+"-not]")
	var eleven []string
	for i := range 11 {
		eleven = append(eleven, name+strconv.Itoa(i))
	}
	for _, names := range [][]string{{}, eleven} {
		a.json11(t, "ssm", "GetParameters", document{"Names": names}).refused(t, http.StatusBadRequest, "ValidationException", "")
	}
}

// A606: A parameter that is not there is 400 ParameterNotFound, for Get, history
// and Delete, and has no message.
// Source: SSM API reference, GetParameter (errors).
// Confidence: H for the code, M for the message.
func a606NoSuchParameter(t T, a *Account) {
	name := "/" + a.name() + "/nobody"
	for _, operation := range []string{"GetParameter", "GetParameterHistory", "DeleteParameter"} {
		x := a.json11(t, "ssm", operation, document{"Name": name})
		x.refused(t, http.StatusBadRequest, "ParameterNotFound", "")
		same(t, "the message of "+operation, x.message, "")
	}
}

// A607: NAME:VERSION reads that version; one that is not there is 400
// ParameterVersionNotFound.
// Source: SSM API reference, GetParameter (Name).
// Confidence: H.
func a607VersionByNumber(t T, a *Account) {
	name := a.parameterName(t)
	for _, value := range []string{"one", "two"} {
		a.put(t, name, value, overwrite()).want(t, http.StatusOK)
	}
	x := a.json11(t, "ssm", "GetParameter", document{"Name": name + ":1"}).want(t, http.StatusOK)
	same(t, "the value of version 1", x.text("Parameter.Value"), "one")
	same(t, "the selector", x.text("Parameter.Selector"), ":1")
	a.json11(t, "ssm", "GetParameter", document{"Name": name + ":9"}).refused(t, http.StatusBadRequest, "ParameterVersionNotFound", "")
}

// A608: A standard value has at most 4096 characters, and is not empty.
// Source: SSM API reference, PutParameter (Value, Tier).
// Confidence: H.
func a608ValuesHaveALimit(t T, a *Account) {
	name := a.parameterName(t)
	a.put(t, name, strings.Repeat("x", 4096), nil).want(t, http.StatusOK)
	for _, value := range []string{"", strings.Repeat("x", 4097)} {
		a.put(t, name, value, overwrite()).refused(t, http.StatusBadRequest, "ValidationException", "")
	}
}

// A609: Names begin with neither aws nor ssm, are letters, digits, ._- and
// slashes, a slash first where there is one, 15 levels at most.
// Source: SSM API reference, PutParameter (Name).
// Confidence: H.
func a609ParameterNames(t T, a *Account) {
	base := a.name()
	for _, name := range []string{"ssm" + base, "AWS" + base, "/ssm/" + base, base + "/x", "/" + base + "//x", "/" + base + "/", "/" + base + "/a b", "/" + base + "/é"} {
		a.put(t, name, "x", nil).refused(t, http.StatusBadRequest, "ValidationException", "")
	}
	a.put(t, "/aws/"+base, "x", nil).refused(t, http.StatusBadRequest, "AccessDeniedException", "")
	a.put(t, "/"+base+strings.Repeat("/x", 15), "x", nil).refused(t, http.StatusBadRequest, "HierarchyLevelLimitExceededException", "")
}

// A610: A parameter that is deleted and made again begins with version 1 and no
// history.
// Source: SSM guide, "Working with parameter versions".
// Confidence: M.
func a610DeletedBeginsAnew(t T, a *Account) {
	name := a.parameterName(t)
	for range 2 {
		a.put(t, name, "x", overwrite()).want(t, http.StatusOK)
	}
	a.json11(t, "ssm", "DeleteParameter", document{"Name": name}).want(t, http.StatusOK)
	same(t, "the version after deletion", a.put(t, name, "x", nil).want(t, http.StatusOK).text("Version"), "1")
	x := a.json11(t, "ssm", "GetParameterHistory", document{"Name": name}).want(t, http.StatusOK)
	same(t, "how many versions there are", strconv.Itoa(x.count("Parameters")), "1")
}

// A611: An overwrite does not change a parameter's type: 400
// HierarchyTypeMismatchException.
// Source: SSM API reference, PutParameter (errors).
// Confidence: H.
func a611TypesStay(t T, a *Account) {
	name := a.parameterName(t)
	a.put(t, name, "x", nil).want(t, http.StatusOK)
	a.put(t, name, "x", with(overwrite(), document{"Type": "StringList"})).refused(t, http.StatusBadRequest, "HierarchyTypeMismatchException", "")
}

// A612: A value with {{…}} is refused: parameters don't nest.
// Source: SSM API reference, PutParameter (Value).
// Confidence: H.
func a612NoNestedParameters(t T, a *Account) {
	a.put(t, a.parameterName(t), "a{{b}}c", nil).refused(t, http.StatusBadRequest, "ValidationException", "")
}

// A613: Of many who make one parameter at once without Overwrite, one succeeds.
// Source: SSM API reference, PutParameter (ParameterAlreadyExists, TooManyUpdates): the lock rests on it.
// Confidence: M.
func a613OneCreatorWins(t T, a *Account) {
	name := a.parameterName(t)
	answers := make([]answer, 8)
	var group sync.WaitGroup
	for i := range answers {
		group.Go(func() { answers[i] = a.put(t, name, strconv.Itoa(i), nil) })
	}
	group.Wait()
	var winners []string
	for i, x := range answers {
		switch {
		case x.status == http.StatusOK:
			winners = append(winners, strconv.Itoa(i))
		case x.code != "ParameterAlreadyExists" && x.code != "TooManyUpdates":
			t.Errorf("a loser was told %s", x)
		}
	}
	same(t, "who won", strings.Join(winners, " "), a.json11(t, "ssm", "GetParameter", document{"Name": name}).want(t, http.StatusOK).text("Parameter.Value"))
}

// A614: A new parameter needs a Type; an overwrite without one keeps it.
// Source: SSM API reference, PutParameter (Type).
// Confidence: H.
func a614TypeIsNeeded(t T, a *Account) {
	name := a.parameterName(t)
	a.put(t, name, "x", document{"Type": nil}).refused(t, http.StatusBadRequest, "ValidationException", "")
	a.put(t, name, "x", document{"Type": "StringList"}).want(t, http.StatusOK)
	a.put(t, name, "y", document{"Overwrite": true, "Type": nil}).want(t, http.StatusOK)
	same(t, "the type", a.json11(t, "ssm", "GetParameter", document{"Name": name}).want(t, http.StatusOK).text("Parameter.Type"), "StringList")
}

// A615: History has pages of 1 to 50, which meet every version once.
// Source: SSM API reference, GetParameterHistory (MaxResults, NextToken).
// Confidence: H.
func a615HistoryHasPages(t T, a *Account) {
	name := a.parameterName(t)
	for range 3 {
		a.put(t, name, "x", overwrite()).want(t, http.StatusOK)
	}
	var versions []string
	for token, page := any(nil), 0; page < 4; page++ {
		x := a.json11(t, "ssm", "GetParameterHistory", with(document{"Name": name, "MaxResults": 1}, document{"NextToken": token})).want(t, http.StatusOK)
		versions = append(versions, x.text("Parameters.0.Version"))
		if token = x.at("NextToken"); token == nil {
			break
		}
	}
	same(t, "the versions of the pages", strings.Join(versions, " "), "1 2 3")
	a.json11(t, "ssm", "GetParameterHistory", document{"Name": name, "MaxResults": 51}).refused(t, http.StatusBadRequest, "ValidationException", "")
}

// A616: DeleteParameters deletes what is there and lists the rest in
// InvalidParameters.
// Source: SSM API reference, DeleteParameters.
// Confidence: H.
func a616DeletingManyNames(t T, a *Account) {
	name := a.parameterName(t)
	a.put(t, name, "x", nil).want(t, http.StatusOK)
	x := a.json11(t, "ssm", "DeleteParameters", document{"Names": []string{name, name + "-not"}}).want(t, http.StatusOK)
	same(t, "what was deleted", fmt.Sprint(x.at("DeletedParameters")), "["+name+"]")
	same(t, "what was not", fmt.Sprint(x.at("InvalidParameters")), "["+name+"-not]")
}

// A617: The ARN of a parameter has one slash between parameter and its name.
// Source: SSM API reference, Parameter (ARN).
// Confidence: H.
func a617ARNOfAParameter(t T, a *Account) {
	name := a.parameterName(t)
	a.put(t, name, "x", nil).want(t, http.StatusOK)
	x := a.json11(t, "ssm", "GetParameter", document{"Name": name}).want(t, http.StatusOK)
	same(t, "the ARN", x.text("Parameter.ARN"), "arn:aws:ssm:"+a.Region+":"+a.ID+":parameter"+name)
}

// A618: A name and the ARN in front of it have 1011 characters at most.
// Source: SSM API reference, PutParameter (Name: "This count of 1011 characters includes the characters in the ARN").
// Confidence: H.
func a618NamesHaveALimit(t T, a *Account) {
	base := "/" + a.name() + "/"
	room := 1011 - len("arn:aws:ssm:"+a.Region+":"+a.ID+":parameter")
	longest := base + strings.Repeat("x", room-len(base))
	later(t, func(t T) { a.json11(t, "ssm", "DeleteParameter", document{"Name": longest}) })
	a.put(t, longest, "x", nil).want(t, http.StatusOK)
	a.put(t, longest+"x", "x", nil).refused(t, http.StatusBadRequest, "ValidationException", "")
}
