enum URingPlaceholder {}
