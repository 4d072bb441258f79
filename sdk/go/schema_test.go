package offtake

import "testing"

func TestAColumnsKindFollowsFromItsLogicalType(t *testing.T) {
	for logical, kind := range map[string]Kind{
		"bool": KindBoolean, "int4": KindInt64, "oid": KindInt64, "uint8": KindUint64, "float4": KindFloat64,
		"bytes": KindBytes, "text": KindText, "decimal(12,2)": KindText, "list<int4>": KindText,
	} {
		column := NewColumn("name", logical)
		if column.Kind != kind || column.Name != "name" || column.Logical != logical || !column.Nullable {
			t.Errorf("%s: %+v", logical, column)
		}
		if column.Required().Nullable {
			t.Errorf("%s is required and may be NULL", logical)
		}
	}
}

func TestOnlySomeTextsAreValuesOfWhatIsNoFreeText(t *testing.T) {
	for logical, free := range map[string]bool{
		"text": true, "varchar(80)": true, "bpchar(2)": true, "citext": true, "name": true,
		"decimal(12,2)": false, "uuid": false, "json": false, "timestamptz": false, "enum": false,
		"list<text>": false, "textual": false, "bytes": false, "int8": false,
	} {
		if NewColumn("it", logical).IsFreeText() != free {
			t.Errorf("%s: free text should be %t", logical, free)
		}
	}
}
