module rows

go 1.24

require offtake v0.0.0

replace offtake => ../../../go
