module offtake

go 1.24
