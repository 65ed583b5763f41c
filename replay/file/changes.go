package file

import (
	bolt "go.etcd.io/bbolt"

	"github.com/verify-webhook/caddy-verify-webhook/replay"
)

// changes are records to be written, by their period and in the order in which
// they take effect.
type changes map[uint32][]change

type change struct {
	kind   byte
	record record
}

func (c changes) add(kind byte, key replay.Key, expiry uint32) {
	period := periodOf(expiry)
	c[period] = append(c[period], change{kind, record{key, expiry}})
}

// write appends the changes to the buckets of their periods.
func (c changes) write(tx *bolt.Tx) error {
	for period, list := range c {
		bucket, err := tx.CreateBucketIfNotExists(periodName(period))
		if err != nil {
			return err
		}
		bucket.FillPercent = 1 // keys are only appended
		for len(list) > 0 {
			kind, n := list[0].kind, 1
			for n < min(len(list), maxChunk) && list[n].kind == kind {
				n++
			}
			if err := appendChunk(bucket, chunk(kind, list[:n])); err != nil {
				return err
			}
			list = list[n:]
		}
	}
	return nil
}

func appendChunk(bucket *bolt.Bucket, chunk []byte) error {
	n, err := bucket.NextSequence()
	if err != nil {
		return err
	}
	return bucket.Put(sequenceKey(n), chunk)
}
