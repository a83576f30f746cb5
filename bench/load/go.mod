module portcullis.dev/bench/load

go 1.26
