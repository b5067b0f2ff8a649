enum LogFormatPlaceholder {}
