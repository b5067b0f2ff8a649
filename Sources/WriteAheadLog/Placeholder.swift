enum WriteAheadLogPlaceholder {}
