enum AppendLogServicePlaceholder {}
