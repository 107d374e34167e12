"""Files of tables in, Parquet files with vectors beside the columns out."""
