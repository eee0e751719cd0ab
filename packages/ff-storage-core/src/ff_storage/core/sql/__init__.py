"""From expressions to SQL: nodes, statements, scope, and the compiler that a dialect specializes."""
