"""The database: schema, engine, migrations, and one file of statements a resource."""
