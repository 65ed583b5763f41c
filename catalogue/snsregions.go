package catalogue

import (
	"crypto/x509"
	"regexp"
	"slices"
	"strings"

	"github.com/verify-webhook/caddy-verify-webhook/signature"
)

// snsPartition is a partition of AWS with its own domains.
type snsPartition struct {
	region *regexp.Regexp
	suffix string
}

// snsPartitions are the partitions of AWS, by their name in an ARN:
// botocore/data/partitions.json.
var snsPartitions = map[string]snsPartition{
	"aws":        {regexp.MustCompile(`^[a-z]{2}-[a-z]+-\d{1,2}$`), "amazonaws.com"},
	"aws-cn":     {regexp.MustCompile(`^cn-[a-z]+-\d{1,2}$`), "amazonaws.com.cn"},
	"aws-us-gov": {regexp.MustCompile(`^us-gov-[a-z]+-\d{1,2}$`), "amazonaws.com"},
	"aws-eusc":   {regexp.MustCompile(`^eusc-de-[a-z]+-\d{1,2}$`), "amazonaws.eu"},
	"aws-iso":    {regexp.MustCompile(`^us-iso-[a-z]+-\d{1,2}$`), "c2s.ic.gov"},
	"aws-iso-b":  {regexp.MustCompile(`^us-isob-[a-z]+-\d{1,2}$`), "sc2s.sgov.gov"},
	"aws-iso-e":  {regexp.MustCompile(`^eu-isoe-[a-z]+-\d{1,2}$`), "cloud.adc-e.uk"},
	"aws-iso-f":  {regexp.MustCompile(`^us-isof-[a-z]+-\d{1,2}$`), "csp.hci.ic.gov"},
}

var snsTopic = regexp.MustCompile(`^arn:(aws[a-z-]*):sns:([a-z0-9-]{1,32}):\d{12}:[A-Za-z0-9_.-]{1,256}$`)

// snsRegion returns the partition and the region of a topic, or false if the topic is
// invalid.
func snsRegion(topic string) (partition snsPartition, region string, ok bool) {
	parts := snsTopic.FindStringSubmatch(topic)
	if parts == nil {
		return partition, "", false
	}
	partition, known := snsPartitions[parts[1]]
	if !known || !partition.region.MatchString(parts[2]) || (parts[1] == "aws" && strings.HasPrefix(parts[2], "cn-")) {
		return partition, "", false
	}
	return partition, parts[2], true
}

// snsHost returns the host of SNS in a topic's region, or "" if the topic is invalid.
func snsHost(topic string) string {
	partition, region, ok := snsRegion(topic)
	if !ok {
		return ""
	}
	return "sns." + region + "." + partition.suffix
}

// snsRegionNames are the certificate names of regions that use neither the common name
// nor sns-signing.REGION: software.amazon.awssdk:sns-message-manager, SnsHostProvider.
var snsRegionNames = map[string]string{
	"cn-north-1":     "sns-cn-north-1.amazonaws.com.cn",
	"cn-northwest-1": "sns-cn-northwest-1.amazonaws.com.cn",
	"us-gov-west-1":  "sns-us-gov-west-1.amazonaws.com",
	"us-gov-east-1":  "sns-us-gov-west-1.amazonaws.com",
	"us-iso-east-1":  "sns-us-iso-east-1.c2s.ic.gov",
	"us-isob-east-1": "sns-us-isob-east-1.sc2s.sgov.gov",
}

// snsFirstRegions use the certificate of sns.amazonaws.com: all regions from before
// 2019, when AWS introduced opt-in regions.
var snsFirstRegions = []string{
	"us-east-1", "us-east-2", "us-west-1", "us-west-2", "ca-central-1", "sa-east-1",
	"eu-west-1", "eu-west-2", "eu-west-3", "eu-central-1", "eu-north-1",
	"ap-south-1", "ap-southeast-1", "ap-southeast-2", "ap-northeast-1", "ap-northeast-2", "ap-northeast-3",
}

// snsOptInRegions sign as sns-signing.REGION. The same list in SnsHostProvider
// includes the isolated and sovereign regions below.
var snsOptInRegions = []string{
	"ap-east-1", "ap-east-2", "ap-south-2", "ap-southeast-3", "ap-southeast-4", "ap-southeast-5", "ap-southeast-6", "ap-southeast-7",
	"me-south-1", "me-central-1", "eu-south-1", "eu-south-2", "eu-central-2", "af-south-1", "il-central-1", "ca-west-1", "mx-central-1",
	"us-isof-east-1", "us-isof-south-1", "eu-isoe-west-1", "eusc-de-east-1",
}

// snsCertNames returns the names, one of which must be in the certificate of a topic's
// region. For a region that is newer than this list, both kinds of names are accepted:
// each is Amazon's, in the topic's partition.
func snsCertNames(topic string) []string {
	partition, region, ok := snsRegion(topic)
	if !ok {
		return nil
	}
	usual, signing := "sns."+partition.suffix, "sns-signing."+region+"."+partition.suffix
	switch {
	case snsRegionNames[region] != "":
		return []string{snsRegionNames[region]}
	case slices.Contains(snsFirstRegions, region):
		return []string{usual}
	case slices.Contains(snsOptInRegions, region):
		return []string{signing}
	}
	return []string{usual, signing}
}

// checkCertName refuses a certificate without any of the names: as an alternative name
// or, if it has none, as its subject.
func checkCertName(cert *x509.Certificate, names []string) error {
	for _, name := range names {
		if cert.VerifyHostname(name) == nil || (len(cert.DNSNames) == 0 && cert.Subject.CommonName == name) {
			return nil
		}
	}
	has := cert.Subject.CommonName
	if len(cert.DNSNames) > 0 {
		has = cert.DNSNames[0]
	}
	if len(names) > 1 {
		return signature.Refuse(signature.InvalidSignature, "the certificate is for %q, not for %s or %s", has, names[0], names[1])
	}
	return signature.Refuse(signature.InvalidSignature, "the certificate is for %q, not for %s", has, names[0])
}
